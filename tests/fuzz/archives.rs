//! Archives, and the names by which files are fetched.

use std::fs::File;
use std::io::{Cursor, Seek, Write};
use std::time::Duration;

use agent::fetch::Uri;
use agent::unpack::{self, Bounds, Format};
use tar::{Builder, EntryType, Header};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// Small enough that a case takes no time.
const BOUNDS: Bounds = Bounds {
    bytes: 1 << 20,
    entries: 64,
    depth: 16,
    time: Duration::from_secs(10),
};

/// A folder to unpack into, within one that must stay as it is.
pub(crate) struct Ground {
    folder: tempfile::TempDir,
}

impl Ground {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("canary"), "sings").expect("written");
        Self { folder }
    }

    fn unpack(&self, bytes: &[u8], format: Format) {
        let inside = tempfile::tempdir_in(self.folder.path()).expect("a folder");
        let mut source = tempfile::tempfile().expect("a file");
        source.write_all(bytes).expect("written");
        source.rewind().expect("rewound");
        let into = File::open(inside.path()).expect("the folder");
        // Either way is right, as long as it ends.
        let _ = unpack::here(source, format, BOUNDS, into.into());
        drop(inside);
        let left = std::fs::read_dir(self.folder.path()).expect("the folder");
        assert_eq!(left.count(), 1, "something was written beside the folder");
    }

    /// A tar archive, compressed or not.
    pub(crate) fn tar(&self, bytes: &[u8]) {
        self.unpack(bytes, Format::Tar);
    }

    /// A zip archive.
    pub(crate) fn zip(&self, bytes: &[u8]) {
        self.unpack(bytes, Format::Zip);
    }
}

/// A URI, and a name for it.
pub(crate) fn uri(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (value, output) = text.split_once('\n').unwrap_or((&text, ""));
    let uri = Uri {
        value: value.to_owned(),
        output_file: (!output.is_empty()).then(|| output.to_owned()),
        ..Uri::default()
    };
    if let Ok(path) = agent::fetch::output(&uri) {
        assert!(!path.starts_with('/') && !path.split('/').any(|part| part == ".."));
    }
}

/// Small archives of each kind, plain and compressed.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let tar = tar();
    let sparse = sparse();
    let mut all = vec![tar.clone(), sparse];
    all.push(zstd::encode_all(tar.as_slice(), 1).expect("written to memory"));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).expect("written to memory");
    all.push(gzip.finish().expect("written to memory"));
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    zip.start_file("a/b", options).expect("begun");
    zip.write_all(b"content").expect("written to memory");
    zip.add_symlink("link", "a/b", options).expect("a link");
    all.push(zip.finish().expect("written to memory").into_inner());
    all.push(b"http://host/a/b?c=d\nbin/run".to_vec());
    all.push(b"file://localhost/x/y.tar.gz\n".to_vec());
    all
}

fn tar() -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    let mut entry = |kind, name: &str, content: &[u8]| {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        match kind.is_symlink() || kind.is_hard_link() {
            true => tar.append_link(&mut header, name, "a/b"),
            false => tar.append_data(&mut header, name, content),
        }
        .expect("written to memory");
    };
    entry(EntryType::Directory, "a/", b"");
    entry(EntryType::Regular, "a/b", b"content");
    entry(EntryType::Regular, &"long/".repeat(30), b"x");
    entry(EntryType::Symlink, "link", b"");
    entry(EntryType::Link, "hard", b"");
    let records = [
        ("path", &b"other"[..]),
        ("mtime", &b"1.5"[..]),
        ("SCHILY.xattr.user.a", &b"b"[..]),
    ];
    tar.append_pax_extensions(records)
        .expect("written to memory");
    let mut header = Header::new_ustar();
    header.set_size(1);
    tar.append_data(&mut header, "short", &b"y"[..])
        .expect("written to memory");
    tar.into_inner().expect("written to memory")
}

fn sparse() -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_path("sparse").expect("a path");
    header.set_size(3);
    let gnu = header.as_gnu_mut().expect("a GNU header");
    gnu.sparse[0].set_offset(512);
    gnu.sparse[0].set_length(3);
    gnu.set_real_size(4096);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(b"abc");
    bytes.resize(2048, 0);
    bytes
}
