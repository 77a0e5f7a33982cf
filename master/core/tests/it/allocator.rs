//! The allocator by itself: the cases of Mesos' own tests of it (reference, sections 6.5 and 6.7), as
//! scripts, and how long the wait for an agent can be.
//!
//! A line of a script is something that happens; after `run` and `=` stands what it must give out, as
//! `framework agent role resources`, in the order of these words, or nothing.

mod fairness;
mod policies;
mod quota;
mod reservations;
mod script;
mod sharing;

use script::check;
