//! ELF: whether a file is a program of this machine at all, told in words before it is executed.

/// The architecture of this program: `e_machine` and its name.
const OWN: (u16, &str) = match cfg!(target_arch = "aarch64") {
    true => (183, "aarch64"),
    false => (62, "x86_64"),
};
/// Others that a build may be for by mistake.
const OTHERS: [(u16, &str); 5] = [
    (3, "x86"),
    (40, "arm"),
    (62, "x86_64"),
    (183, "aarch64"),
    (243, "riscv"),
];
/// What is looked at of a file.
pub(super) const HEAD_BYTES: usize = 64;

/// Why a file cannot be executed here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// It is something else.
    #[error("it is no program: an ELF file begins otherwise")]
    Magic,
    /// It ends within its own head.
    #[error("it is no whole program: it has {0} bytes")]
    Short(usize),
    /// It is for another machine.
    #[error("it is a program for {0}, and this node is {own}", own = OWN.1)]
    Machine(String),
    /// It is a library or an object file.
    #[error("it is an ELF file, and no program")]
    Kind,
}

/// Looks at the beginning of a file.
///
/// # Errors
/// It is no program of this machine.
pub(super) fn look(head: &[u8]) -> Result<(), ElfError> {
    if !head.starts_with(b"\x7fELF") {
        return Err(ElfError::Magic);
    }
    let Some(head) = head.get(..HEAD_BYTES) else {
        return Err(ElfError::Short(head.len()));
    };
    // ELFCLASS64 and ELFDATA2LSB; then `e_type` and `e_machine`.
    let number = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    let (kind, machine) = (number(16), number(18));
    if (head[4], head[5], machine) != (2, 1, OWN.0) {
        let known = OTHERS.iter().find(|(number, _)| *number == machine);
        let name = known.map_or_else(
            || format!("machine {machine}"),
            |(_, name)| name.to_string(),
        );
        let name = match (head[4], head[5]) {
            (2, 1) => name,
            (2, _) => format!("{name}, big-endian"),
            (_, _) => format!("{name} of 32 bits"),
        };
        return Err(ElfError::Machine(name));
    }
    match kind {
        // ET_EXEC, and ET_DYN: a program that may lie anywhere.
        2 | 3 => Ok(()),
        _ => Err(ElfError::Kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_program_of_this_machine_is_told_in_words() {
        let own = std::fs::read("/proc/self/exe").expect("this program");
        let changed = |at: usize, byte: u8| {
            let mut head = own[..HEAD_BYTES].to_vec();
            head[at] = byte;
            head
        };
        let told = |head: &[u8]| look(head).map_err(|error| error.to_string());
        assert_eq!(told(&own), Ok(()));
        for (head, words) in [
            (b"#!/bin/sh\n".to_vec(), "no program: an ELF file begins"),
            (Vec::new(), "no program: an ELF file begins"),
            (own[..20].to_vec(), "no whole program: it has 20 bytes"),
            (changed(18, 243), "a program for riscv, and this node is "),
            (changed(18, 99), "a program for machine 99, and"),
            (changed(4, 1), " of 32 bits, and"),
            (changed(5, 2), ", big-endian, and"),
            (changed(16, 1), "an ELF file, and no program"),
        ] {
            let error = told(&head).expect_err(words);
            assert!(error.contains(words), "{error}");
        }
    }
}
