// Written by `cargo xtask codegen`; change the .proto files instead.
pub mod tables;
pub mod google {
    pub mod protobuf {
        include!("google.protobuf.rs");
    }
}
pub mod mesos {
    pub mod v1 {
        include!("mesos.v1.rs");
        pub mod agent {
            include!("mesos.v1.agent.rs");
        }
        pub mod allocator {
            include!("mesos.v1.allocator.rs");
        }
        pub mod executor {
            include!("mesos.v1.executor.rs");
        }
        pub mod maintenance {
            include!("mesos.v1.maintenance.rs");
        }
        pub mod master {
            include!("mesos.v1.master.rs");
        }
        pub mod quota {
            include!("mesos.v1.quota.rs");
        }
        pub mod scheduler {
            include!("mesos.v1.scheduler.rs");
        }
    }
}
pub mod tepui {
    pub mod link {
        pub mod v1 {
            include!("tepui.link.v1.rs");
        }
    }
    pub mod scheduler {
        pub mod v1 {
            include!("tepui.scheduler.v1.rs");
        }
    }
}
