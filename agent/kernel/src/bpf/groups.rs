//! Groups: bits that a program sets by the cgroup of whoever it runs for, read by the agent.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::{Assembly, BpfError, Label, Map, Register, When};
use crate::cgroup::Cgroup;

/// Functions of `enum bpf_func_id`.
const MAP_LOOKUP_ELEM: i32 = 1;
const MAP_UPDATE_ELEM: i32 = 2;
const GET_CURRENT_CGROUP_ID: i32 = 80;

/// `BPF_NOEXIST`: what another processor has just put there stays.
const IF_ABSENT: i32 = 1;

/// Where a program keeps the key, and beneath it the value that a group begins with.
const KEY: i16 = -8;

/// So many words of bits for each group.
#[derive(Debug)]
pub(crate) struct Groups<const WORDS: usize>(Map<WORDS>);

impl<const WORDS: usize> Groups<WORDS> {
    /// Room for so many groups; of more, those that were not asked for longest are forgotten.
    ///
    /// # Errors
    /// The kernel makes no such map.
    pub(crate) fn create(name: &[u8], groups_max: u32) -> Result<Self, BpfError> {
        Map::create(name, groups_max).map(Self)
    }

    /// The result becomes the address of the words of the group that the caller is in; goes to `end` where
    /// there are none. Registers 1 to 5 are lost.
    pub(crate) fn find(&self, program: &mut Assembly, end: Label) {
        let known = program.label();
        program.call(GET_CURRENT_CGROUP_ID);
        program.store(Register::FRAME, KEY, Register::RESULT);
        self.look_up(program);
        program.jump_if_whole(Register::RESULT, When::NotEqual, 0, known);
        let mut value = KEY;
        for _ in 0..WORDS {
            value -= 8;
            program.store_number(Register::FRAME, value, 0);
        }
        self.arguments(program);
        program.copy(Register::R3, Register::FRAME);
        program.add(Register::R3, value.into());
        program.number(Register::R4, IF_ABSENT);
        program.call(MAP_UPDATE_ELEM);
        self.look_up(program);
        program.jump_if_whole(Register::RESULT, When::Equal, 0, end);
        program.here(known);
    }

    fn look_up(&self, program: &mut Assembly) {
        self.arguments(program);
        program.call(MAP_LOOKUP_ELEM);
    }

    /// The map and a key of it.
    fn arguments(&self, program: &mut Assembly) {
        program.map(Register::CONTEXT, &self.0);
        program.copy(Register::R2, Register::FRAME);
        program.add(Register::R2, KEY.into());
    }

    /// The bits of a container; those that are nested in it have groups of their own.
    pub(crate) fn of(&self, cgroup: &Cgroup) -> [u64; WORDS] {
        let mut all = [0; WORDS];
        for more in numbers(cgroup).filter_map(|group| self.0.get(group)) {
            all.iter_mut()
                .zip(more)
                .for_each(|(word, more)| *word |= more);
        }
        all
    }

    /// Forgets a container.
    pub(crate) fn forget(&self, cgroup: &Cgroup) {
        numbers(cgroup).for_each(|group| self.0.remove(group));
    }
}

/// The kernel's numbers of a container's groups.
fn numbers(cgroup: &Cgroup) -> impl Iterator<Item = u64> {
    let paths = cgroup.paths_of_processes().into_iter();
    paths.filter_map(|path| fs::metadata(path).ok().map(|file| file.ino()))
}
