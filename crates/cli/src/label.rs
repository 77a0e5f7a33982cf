//! Label: output of several tasks on one terminal, each line with the name of its task.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

/// The longest line; what is longer is shown as several.
const LINE_MAX: u64 = 64 << 10;

/// Carries lines to their end, each after a label.
///
/// # Errors
/// Nobody reads them any more.
pub(crate) async fn carry(
    label: &str,
    lines: impl AsyncRead + Unpin,
    mut out: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let mut lines = BufReader::new(lines);
    loop {
        let mut line = Vec::from(label);
        let mut piece = (&mut lines).take(LINE_MAX);
        if piece.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        if !line.ends_with(b"\n") {
            line.push(b'\n');
        }
        out.write_all(&line).await?;
        out.flush().await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_line_has_its_label_and_the_last_one_an_end() {
        let mut out = Vec::new();
        carry("a| ", &b"one\ntwo"[..], &mut out).await.unwrap();
        assert_eq!(out, b"a| one\na| two\n");
    }
}
