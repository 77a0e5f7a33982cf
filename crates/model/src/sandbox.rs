//! The sandbox vocabulary: what a plan says and a deed does.
