//! What must hold in every run, each rule a module of its own.

pub mod counted;
pub mod launched_once;
pub mod one_end;
pub mod settled;
pub mod within_total;
