//! Scenarios of the master core: scripts in, transcripts out.

mod agents;
mod allocator;
mod authorization;
mod domains;
mod draining;
mod frameworks;
mod gone;
mod maintenance;
mod many_roles;
mod notation;
mod offers;
mod operations;
mod oversubscription;
mod quota;
mod random;
mod requests;
mod roles_script;
mod tasks;
mod transcript;
mod validation;
mod watchers;
mod words;
mod world;
