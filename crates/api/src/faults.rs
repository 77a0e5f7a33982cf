//! What is wrong with messages that masters and agents are sent alike, in Mesos' words.

pub mod command;
pub mod container;
