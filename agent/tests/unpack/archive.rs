//! Archive: tar archives as tests want them, well made or not.

use tar::{EntryType, Header};

/// A tar archive that is being written, entry by entry, without any check.
#[derive(Default)]
pub(crate) struct Archive(Vec<u8>);

/// One entry.
pub(crate) struct Entry {
    pub(crate) header: Header,
    pub(crate) content: Vec<u8>,
}

impl Entry {
    /// Of a kind, with a name that need be none.
    pub(crate) fn new(kind: EntryType, name: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000);
        header.set_size(0);
        let field = &mut header.as_old_mut().name;
        let length = name.len().min(field.len());
        field[..length].copy_from_slice(&name[..length]);
        Self {
            header,
            content: Vec::new(),
        }
    }

    pub(crate) fn file(name: &str, content: &[u8]) -> Self {
        let mut entry = Self::new(EntryType::Regular, name.as_bytes());
        entry.header.set_size(content.len() as u64);
        entry.content = content.to_vec();
        entry
    }

    pub(crate) fn directory(name: &str) -> Self {
        Self::new(EntryType::Directory, name.as_bytes()).mode(0o755)
    }

    pub(crate) fn symlink(name: &str, target: &str) -> Self {
        Self::new(EntryType::Symlink, name.as_bytes()).target(target)
    }

    pub(crate) fn link(name: &str, target: &str) -> Self {
        Self::new(EntryType::Link, name.as_bytes()).target(target)
    }

    pub(crate) fn target(mut self, target: &str) -> Self {
        let field = &mut self.header.as_old_mut().linkname;
        let length = target.len().min(field.len());
        field[..length].copy_from_slice(&target.as_bytes()[..length]);
        self
    }

    pub(crate) fn mode(mut self, mode: u32) -> Self {
        self.header.set_mode(mode);
        self
    }

    pub(crate) fn owner(mut self, uid: u64, gid: u64) -> Self {
        self.header.set_uid(uid);
        self.header.set_gid(gid);
        self
    }

    /// Claims another size than it has.
    pub(crate) fn size(mut self, size: u64) -> Self {
        self.header.set_size(size);
        self
    }
}

impl Archive {
    pub(crate) fn with(mut self, mut entry: Entry) -> Self {
        entry.header.set_cksum();
        self.0.extend_from_slice(entry.header.as_bytes());
        self.bytes(&entry.content)
    }

    /// An entry whose header's sum stays as it is.
    pub(crate) fn raw(mut self, header: &Header) -> Self {
        self.0.extend_from_slice(header.as_bytes());
        self
    }

    /// Bytes, filled up to a block.
    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        let rest = bytes.len().wrapping_neg() % 512;
        self.0.extend(std::iter::repeat_n(0, rest));
        self
    }

    /// Pax records that belong to the next entry.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut content = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            content.extend_from_slice(format!("{length} {key}=").as_bytes());
            content.extend_from_slice(value);
            content.push(b'\n');
        }
        let mut entry = Entry::file("pax", &content);
        entry.header.set_entry_type(EntryType::XHeader);
        self.with(entry)
    }

    /// The name of the next entry, as GNU tar writes a long one.
    pub(crate) fn long_name(self, name: &[u8]) -> Self {
        let mut entry = Entry::file("././@LongLink", name);
        entry.header.set_entry_type(EntryType::GNULongName);
        self.with(entry)
    }

    /// With the end marker.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}
