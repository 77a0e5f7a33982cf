//! What must hold in every run, each rule a module of its own.

pub mod counted;
pub mod launched_once;
pub mod offers_live;
pub mod one_end;
pub mod one_leader;
pub mod promises;
pub mod settled;
pub mod told_once;
pub mod within_total;
