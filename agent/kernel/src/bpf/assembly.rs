//! Assembly: straight code with jumps forward only, put together an instruction at a time.

use std::os::fd::AsRawFd;

use super::{BpfError, Map};

/// A register of the machine. [`Register::CONTEXT`] holds the context at the start; 2 to 5 are free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register(u8);

impl Register {
    /// What the program, or a function that it called, returns.
    pub const RESULT: Self = Self(0);
    /// The address of the context.
    pub const CONTEXT: Self = Self(1);
    /// Free.
    pub const R2: Self = Self(2);
    /// Free.
    pub const R3: Self = Self(3);
    /// Free.
    pub const R4: Self = Self(4);
    /// Free.
    pub const R5: Self = Self(5);
    /// Free, and calls leave it alone, as the two that follow.
    pub const R6: Self = Self(6);
    /// As before.
    pub const R7: Self = Self(7);
    /// As before.
    pub const R8: Self = Self(8);
    /// The end of the program's own memory, which lies beneath.
    pub const FRAME: Self = Self(10);
}

/// When a jump is taken; numbers are without sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// They are the same.
    Equal,
    /// They differ.
    NotEqual,
    /// The register is greater.
    Above,
    /// The register is less.
    Below,
}

impl When {
    /// The operation of the class `BPF_JMP`.
    const fn operation(self) -> u8 {
        match self {
            Self::Equal => 0x10,
            Self::Above => 0x20,
            Self::NotEqual => 0x50,
            Self::Below => 0xa0,
        }
    }
}

/// `struct bpf_insn`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    opcode: u8,
    /// The target in the lower four bits, the source in the upper ones, on a little-endian machine.
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// A place further on that jumps go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label(usize);

/// A program in the making.
#[derive(Debug, Default)]
pub struct Assembly {
    instructions: Vec<Instruction>,
    jumps: Vec<(usize, Label)>,
    places: Vec<Option<usize>>,
}

impl Assembly {
    /// A place that is not known yet.
    pub fn label(&mut self) -> Label {
        self.places.push(None);
        Label(self.places.len() - 1)
    }

    /// The place is here: jumps to it go to the next instruction.
    pub fn here(&mut self, label: Label) {
        self.places[label.0] = Some(self.instructions.len());
    }

    /// `to` becomes the 32-bit word of the context at so many bytes.
    pub fn load_context(&mut self, to: Register, offset: i16) {
        // BPF_LDX | BPF_MEM | BPF_W
        self.push(0x61, to, Register::CONTEXT, offset, 0);
    }

    /// `to` becomes the 64-bit word at so many bytes from where `from` points.
    pub fn load(&mut self, to: Register, from: Register, offset: i16) {
        // BPF_LDX | BPF_MEM | BPF_DW
        self.push(0x79, to, from, offset, 0);
    }

    /// The 64-bit word at so many bytes from where `to` points becomes what `from` holds.
    pub fn store(&mut self, to: Register, offset: i16, from: Register) {
        // BPF_STX | BPF_MEM | BPF_DW
        self.push(0x7b, to, from, offset, 0);
    }

    /// The same becomes a number.
    pub fn store_number(&mut self, to: Register, offset: i16, number: i32) {
        // BPF_ST | BPF_MEM | BPF_DW
        self.push(0x7a, to, Register::RESULT, offset, number);
    }

    /// The 64-bit word where `to` points gets the bits of `from` too, whoever else sets some meanwhile.
    pub fn set_bits(&mut self, to: Register, from: Register) {
        // BPF_STX | BPF_ATOMIC | BPF_DW with BPF_OR
        self.push(0xdb, to, from, 0, 0x40);
    }

    /// `to` becomes a number.
    pub fn number(&mut self, to: Register, number: i32) {
        // BPF_ALU64 | BPF_MOV | BPF_K
        self.push(0xb7, to, Register::RESULT, 0, number);
    }

    /// A number is added.
    pub fn add(&mut self, to: Register, number: i32) {
        // BPF_ALU64 | BPF_ADD | BPF_K
        self.push(0x07, to, Register::RESULT, 0, number);
    }

    /// What another register holds is added.
    pub fn add_register(&mut self, to: Register, other: Register) {
        // BPF_ALU64 | BPF_ADD | BPF_X
        self.push(0x0f, to, other, 0, 0);
    }

    /// `register` is shifted to the left by so many bits as another one says.
    pub fn shift_left_by(&mut self, register: Register, bits: Register) {
        // BPF_ALU64 | BPF_LSH | BPF_X
        self.push(0x6f, register, bits, 0, 0);
    }

    /// `to` becomes the address of a map.
    pub(crate) fn map<const WORDS: usize>(&mut self, to: Register, map: &Map<WORDS>) {
        // BPF_LD | BPF_DW | BPF_IMM of BPF_PSEUDO_MAP_FD, which takes two instructions.
        let fd = map.fd().as_raw_fd();
        self.push(0x18, to, Register(1), 0, fd);
        self.push(0, Register::RESULT, Register::RESULT, 0, 0);
    }

    /// Calls a function of the kernel (`enum bpf_func_id`), with what the registers 1 to 5 hold.
    pub fn call(&mut self, function: i32) {
        // BPF_JMP | BPF_CALL
        self.push(0x85, Register::RESULT, Register::RESULT, 0, function);
    }

    /// `to` becomes what `from` holds.
    pub fn copy(&mut self, to: Register, from: Register) {
        // BPF_ALU64 | BPF_MOV | BPF_X
        self.push(0xbf, to, from, 0, 0);
    }

    /// `register` keeps these bits alone.
    pub fn and(&mut self, register: Register, mask: i32) {
        // BPF_ALU64 | BPF_AND | BPF_K
        self.push(0x57, register, Register::RESULT, 0, mask);
    }

    /// `register` is shifted to the right by so many bits.
    pub fn shift_right(&mut self, register: Register, bits: u8) {
        // BPF_ALU64 | BPF_RSH | BPF_K
        self.push(0x77, register, Register::RESULT, 0, bits.into());
    }

    /// `register` holds 16 bits as the network orders them, and then as this machine does.
    pub fn from_network_16(&mut self, register: Register) {
        // BPF_ALU | BPF_END | BPF_TO_BE: turns them around on a little-endian machine, both ways.
        self.push(0xdc, register, Register::RESULT, 0, 16);
    }

    /// Goes to a label where a register compares so with a number.
    pub fn jump_if(&mut self, register: Register, when: When, number: i32, label: Label) {
        self.jumps.push((self.instructions.len(), label));
        // BPF_JMP32 | BPF_K
        let opcode = 0x06 | when.operation();
        self.push(opcode, register, Register::RESULT, 0, number);
    }

    /// Goes to a label where a register compares so with another.
    pub fn jump_if_register(
        &mut self,
        register: Register,
        when: When,
        other: Register,
        label: Label,
    ) {
        self.jumps.push((self.instructions.len(), label));
        // BPF_JMP32 | BPF_X
        self.push(0x0e | when.operation(), register, other, 0, 0);
    }

    /// Goes to a label where all 64 bits of a register, as of an address, compare so with a number.
    pub fn jump_if_whole(&mut self, register: Register, when: When, number: i32, label: Label) {
        self.jumps.push((self.instructions.len(), label));
        // BPF_JMP | BPF_K
        let opcode = 0x05 | when.operation();
        self.push(opcode, register, Register::RESULT, 0, number);
    }

    /// Goes to a label where all 64 bits of two registers are the same.
    pub fn jump_if_same(&mut self, register: Register, other: Register, label: Label) {
        self.jumps.push((self.instructions.len(), label));
        // BPF_JMP | BPF_X
        self.push(0x0d | When::Equal.operation(), register, other, 0, 0);
    }

    /// Ends with this result.
    pub fn exit(&mut self, result: i32) {
        self.number(Register::RESULT, result);
        // BPF_JMP | BPF_EXIT
        self.push(0x95, Register::RESULT, Register::RESULT, 0, 0);
    }

    /// The whole program.
    ///
    /// # Errors
    /// A jump goes nowhere, backwards or too far.
    pub fn finish(mut self) -> Result<Vec<Instruction>, BpfError> {
        for (at, label) in self.jumps {
            let distance = self.places[label.0].and_then(|place| place.checked_sub(at + 1));
            let distance = distance.and_then(|distance| i16::try_from(distance).ok());
            self.instructions[at].offset = distance.ok_or(BpfError::Jump(at))?;
        }
        Ok(self.instructions)
    }

    fn push(&mut self, opcode: u8, to: Register, from: Register, offset: i16, immediate: i32) {
        self.instructions.push(Instruction {
            opcode,
            registers: from.0 << 4 | to.0,
            offset,
            immediate,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_counts_the_instructions_between_and_goes_forward_only() {
        let mut assembly = Assembly::default();
        let end = assembly.label();
        assembly.load_context(Register::R2, 8);
        assembly.jump_if(Register::R2, When::NotEqual, 7, end);
        assembly.exit(1);
        assembly.here(end);
        assembly.exit(0);
        let program = assembly.finish().expect("a program");
        // r2 = *(u32 *)(r1 + 8); if w2 != 7 goto +2; r0 = 1; exit; r0 = 0; exit
        let bytes: Vec<_> = program
            .iter()
            .map(|one| (one.opcode, one.registers, one.offset, one.immediate))
            .collect();
        assert_eq!(
            bytes,
            [
                (0x61, 0x12, 8, 0),
                (0x56, 0x02, 2, 7),
                (0xb7, 0, 0, 1),
                (0x95, 0, 0, 0),
                (0xb7, 0, 0, 0),
                (0x95, 0, 0, 0),
            ]
        );
        let mut nowhere = Assembly::default();
        let never = nowhere.label();
        nowhere.jump_if(Register::R2, When::Equal, 0, never);
        assert!(matches!(nowhere.finish(), Err(BpfError::Jump(0))));
        let mut backwards = Assembly::default();
        let start = backwards.label();
        backwards.here(start);
        backwards.jump_if(Register::R2, When::Equal, 0, start);
        assert!(matches!(backwards.finish(), Err(BpfError::Jump(0))));
    }
}
