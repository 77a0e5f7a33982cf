//! Actions: what rules can be made about, with the names that Mesos' ACL files have for them.
//!
//! One file serves a whole cluster, so actions that only agents ask about are here too.

/// Something that a principal does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is told by its key in `FACTS`")]
pub enum Action {
    RegisterFramework,
    RunTask,
    TeardownFramework,
    ReserveResources,
    UnreserveResources,
    CreateVolume,
    DestroyVolume,
    ResizeVolume,
    GetEndpoint,
    UpdateWeight,
    ViewRole,
    GetQuota,
    UpdateQuota,
    ViewFramework,
    ViewTask,
    ViewExecutor,
    AccessSandbox,
    AccessMesosLog,
    ViewFlags,
    LaunchNestedContainerAsUser,
    LaunchNestedContainerUnderParentWithUser,
    LaunchNestedContainerSessionAsUser,
    LaunchNestedContainerSessionUnderParentWithUser,
    KillNestedContainer,
    WaitNestedContainer,
    RemoveNestedContainer,
    AttachContainerInput,
    AttachContainerOutput,
    ViewContainer,
    SetLogLevel,
    RegisterAgent,
    UpdateMaintenanceSchedule,
    GetMaintenanceSchedule,
    StartMaintenance,
    StopMaintenance,
    GetMaintenanceStatus,
    DrainAgent,
    DeactivateAgent,
    ReactivateAgent,
    MarkAgentGone,
    LaunchStandaloneContainer,
    KillStandaloneContainer,
    WaitStandaloneContainer,
    RemoveStandaloneContainer,
    ViewStandaloneContainer,
    ModifyResourceProviderConfig,
    MarkResourceProviderGone,
    ViewResourceProvider,
    PruneImages,
    CreateBlockDisk,
    DestroyBlockDisk,
    CreateMountDisk,
    DestroyMountDisk,
    DestroyRawDisk,
}

/// What the objects of an action are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objects {
    /// Roles, of which `eng/%` stands for all beneath `eng`.
    Roles,
    /// Other names.
    Names,
    /// Paths of endpoints that can be withheld.
    Paths,
    /// There is but one: a rule allows or forbids it as a whole, and cannot list.
    Whole,
}

/// The paths that rules of [`Action::GetEndpoint`] may list.
pub const PATHS: [&str; 6] = [
    "/containers",
    "/containerizer/debug",
    "/files/debug",
    "/logging/toggle",
    "/metrics/snapshot",
    "/monitor/statistics",
];

/// An action's key in the file, the key of its objects there, and what those are.
type Facts = (Action, &'static str, &'static str, Objects);

const FACTS: [Facts; 54] = {
    use Action as A;
    use Objects::{Names, Paths, Roles, Whole};
    [
        (A::RegisterFramework, "register_frameworks", "roles", Roles),
        (A::RunTask, "run_tasks", "users", Names),
        (
            A::TeardownFramework,
            "teardown_frameworks",
            "framework_principals",
            Names,
        ),
        (A::ReserveResources, "reserve_resources", "roles", Roles),
        (
            A::UnreserveResources,
            "unreserve_resources",
            "reserver_principals",
            Names,
        ),
        (A::CreateVolume, "create_volumes", "roles", Roles),
        (
            A::DestroyVolume,
            "destroy_volumes",
            "creator_principals",
            Names,
        ),
        (A::ResizeVolume, "resize_volumes", "roles", Roles),
        (A::GetEndpoint, "get_endpoints", "paths", Paths),
        (A::UpdateWeight, "update_weights", "roles", Roles),
        (A::ViewRole, "view_roles", "roles", Roles),
        (A::GetQuota, "get_quotas", "roles", Roles),
        (A::UpdateQuota, "update_quotas", "roles", Roles),
        (A::ViewFramework, "view_frameworks", "users", Names),
        (A::ViewTask, "view_tasks", "users", Names),
        (A::ViewExecutor, "view_executors", "users", Names),
        (A::AccessSandbox, "access_sandboxes", "users", Names),
        (A::AccessMesosLog, "access_mesos_logs", "logs", Whole),
        (A::ViewFlags, "view_flags", "flags", Whole),
        (
            A::LaunchNestedContainerAsUser,
            "launch_nested_containers_as_user",
            "users",
            Names,
        ),
        (
            A::LaunchNestedContainerUnderParentWithUser,
            "launch_nested_containers_under_parent_with_user",
            "users",
            Names,
        ),
        (
            A::LaunchNestedContainerSessionAsUser,
            "launch_nested_container_sessions_as_user",
            "users",
            Names,
        ),
        (
            A::LaunchNestedContainerSessionUnderParentWithUser,
            "launch_nested_container_sessions_under_parent_with_user",
            "users",
            Names,
        ),
        (
            A::KillNestedContainer,
            "kill_nested_containers",
            "users",
            Names,
        ),
        (
            A::WaitNestedContainer,
            "wait_nested_containers",
            "users",
            Names,
        ),
        (
            A::RemoveNestedContainer,
            "remove_nested_containers",
            "users",
            Names,
        ),
        (
            A::AttachContainerInput,
            "attach_containers_input",
            "users",
            Names,
        ),
        (
            A::AttachContainerOutput,
            "attach_containers_output",
            "users",
            Names,
        ),
        (A::ViewContainer, "view_containers", "users", Names),
        (A::SetLogLevel, "set_log_level", "level", Whole),
        (A::RegisterAgent, "register_agents", "agents", Whole),
        (
            A::UpdateMaintenanceSchedule,
            "update_maintenance_schedules",
            "machines",
            Whole,
        ),
        (
            A::GetMaintenanceSchedule,
            "get_maintenance_schedules",
            "machines",
            Whole,
        ),
        (A::StartMaintenance, "start_maintenances", "machines", Whole),
        (A::StopMaintenance, "stop_maintenances", "machines", Whole),
        (
            A::GetMaintenanceStatus,
            "get_maintenance_statuses",
            "machines",
            Whole,
        ),
        (A::DrainAgent, "drain_agents", "agents", Whole),
        (A::DeactivateAgent, "deactivate_agents", "agents", Whole),
        (A::ReactivateAgent, "reactivate_agents", "agents", Whole),
        (A::MarkAgentGone, "mark_agents_gone", "agents", Whole),
        (
            A::LaunchStandaloneContainer,
            "launch_standalone_containers",
            "users",
            Whole,
        ),
        (
            A::KillStandaloneContainer,
            "kill_standalone_containers",
            "users",
            Whole,
        ),
        (
            A::WaitStandaloneContainer,
            "wait_standalone_containers",
            "users",
            Whole,
        ),
        (
            A::RemoveStandaloneContainer,
            "remove_standalone_containers",
            "users",
            Whole,
        ),
        (
            A::ViewStandaloneContainer,
            "view_standalone_containers",
            "users",
            Whole,
        ),
        (
            A::ModifyResourceProviderConfig,
            "modify_resource_provider_configs",
            "resource_providers",
            Whole,
        ),
        (
            A::MarkResourceProviderGone,
            "mark_resource_providers_gone",
            "resource_providers",
            Whole,
        ),
        (
            A::ViewResourceProvider,
            "view_resource_providers",
            "resource_providers",
            Whole,
        ),
        (A::PruneImages, "prune_images", "images", Whole),
        (A::CreateBlockDisk, "create_block_disks", "roles", Roles),
        (A::DestroyBlockDisk, "destroy_block_disks", "roles", Roles),
        (A::CreateMountDisk, "create_mount_disks", "roles", Roles),
        (A::DestroyMountDisk, "destroy_mount_disks", "roles", Roles),
        (A::DestroyRawDisk, "destroy_raw_disks", "roles", Roles),
    ]
};

impl Action {
    /// The action with this key in an ACL file.
    #[must_use]
    pub fn with_key(key: &str) -> Option<Self> {
        let found = FACTS.iter().find(|(_, named, ..)| *named == key);
        found.map(|(action, ..)| *action)
    }

    /// Its key in an ACL file.
    #[must_use]
    pub const fn key(self) -> &'static str {
        self.facts().1
    }

    /// The key of its objects there.
    #[must_use]
    pub const fn objects_key(self) -> &'static str {
        self.facts().2
    }

    /// What its objects are.
    #[must_use]
    pub const fn objects(self) -> Objects {
        self.facts().3
    }

    const fn facts(self) -> Facts {
        FACTS[self as usize]
    }
}

// The table is looked up by number.
const _: () = {
    let mut place = 0;
    while place < FACTS.len() {
        assert!(FACTS[place].0 as usize == place);
        place += 1;
    }
};
