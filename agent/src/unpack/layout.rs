//! Layout: the names of an archive as places beneath its folder.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::fault::Fault;

/// Of a path, as the kernel has it with the NUL byte.
const PATH_BYTES_MAX: usize = 4095;
/// Of one name.
const NAME_BYTES_MAX: usize = 255;

/// A place beneath the folder: names, none of them `.` or `..`. Empty it is the folder itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place(PathBuf);

impl Place {
    /// Reads a name of an archive. A `/` at its beginning means the folder, as tar(1) has it.
    pub(super) fn of(name: &[u8], depth_max: usize) -> Result<Self, Fault> {
        let refuse = |why: &str| Fault::archive(format_args!("{:?} {why}", shown(name)));
        if name.len() > PATH_BYTES_MAX {
            return Err(refuse("is longer than a path can be"));
        }
        if name.contains(&0) {
            return Err(refuse("holds a NUL byte"));
        }
        let mut place = PathBuf::new();
        let mut depth = 0;
        for part in name.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => continue,
                b".." => return Err(refuse("leads out of the folder")),
                _ if part.len() > NAME_BYTES_MAX => {
                    return Err(refuse("holds a name longer than one can be"));
                }
                _ => place.push(OsStr::from_bytes(part)),
            }
            depth += 1;
        }
        if depth > depth_max {
            let text = format!("{:?} is more than {depth_max} deep", shown(name));
            return Err(Fault::Bound(text));
        }
        Ok(Self(place))
    }

    /// The folder that holds it, and its name there; `None` of the folder itself.
    pub(super) fn split(&self) -> Option<(&Path, &Path)> {
        let name = Path::new(self.0.file_name()?);
        Some((self.0.parent()?, name))
    }

    /// As a relative path.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

/// A name for a text, cut where it is long.
pub(super) fn shown(name: &[u8]) -> String {
    const SHOWN_MAX: usize = 120;
    let mut text = String::from_utf8_lossy(name).into_owned();
    if text.len() > SHOWN_MAX {
        text.truncate(text.floor_char_boundary(SHOWN_MAX));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_place_beneath_the_folder_or_refused() {
        for (name, expected) in [
            ("a/b", Some("a/b")),
            ("/a//b/./c/", Some("a/b/c")),
            ("./", Some("")),
            ("..", None),
            ("a/../b", None),
            ("/../../etc/passwd", None),
            ("...", Some("...")),
            ("a\0b", None),
        ] {
            let place = Place::of(name.as_bytes(), 8).ok();
            assert_eq!(
                place.map(|place| place.0),
                expected.map(PathBuf::from),
                "{name}"
            );
        }
        assert!(Place::of(&[b'x'; 256], 8).is_err());
        assert!(Place::of(&b"x/".repeat(2048), 4000).is_err());
        assert!(matches!(
            Place::of(&b"x/".repeat(9), 8),
            Err(Fault::Bound(_))
        ));
    }
}
