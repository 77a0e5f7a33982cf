//! Roots of layers, and volumes of every kind.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use agent_kernel::boot_mounts::{self, Flags};
use agent_kernel::launch;
use model::sandbox::{
    Access, Capability, Content, ExitStatus, IdRange, LaunchPlan, Mount, MountsBeneath, Overlay,
    Root, Scratch, Secret,
};
use nix::mount::{MntFlags, MsFlags};

use crate::Outcome;
use crate::world::{IDS, SANDBOX, World, chain, process_of, same, sandbox};

/// The ids of the image store.
const STORE: IdRange = IdRange {
    first: 458_752,
    length: 65_536,
};

/// A layer whose files have the store's ids.
fn layer(
    world: &World,
    name: &str,
    files: &[(&str, &str, u32)],
) -> Result<String, Box<dyn std::error::Error>> {
    let layer = world.directory.join(name);
    fs::create_dir_all(&layer)?;
    for (path, content, owner) in files {
        let path = layer.join(path);
        if let Some(above) = path.parent() {
            fs::create_dir_all(above)?;
        }
        fs::write(&path, content)?;
        give(&path, *owner)?;
        let mut above = path.parent();
        while let Some(directory) = above.filter(|directory| directory.starts_with(&layer)) {
            give(directory, 0)?;
            above = directory.parent();
        }
    }
    Ok(layer.to_string_lossy().into_owned())
}

fn give(path: &Path, owner: u32) -> std::io::Result<()> {
    chown(path, Some(STORE.first + owner), Some(STORE.first + owner))
}

/// The busybox root as the bottom layer of an image.
fn base(world: &World) -> Result<String, Box<dyn std::error::Error>> {
    let base = world.directory.join("base");
    if !base.exists() {
        fs::create_dir_all(base.join("bin"))?;
        fs::copy(world.root().join("bin/busybox"), base.join("bin/busybox"))?;
        for entry in fs::read_dir(world.root().join("bin"))? {
            let entry = entry?;
            if entry.file_type()?.is_symlink() {
                symlink("busybox", base.join("bin").join(entry.file_name()))?;
            }
        }
        for path in [base.clone(), base.join("bin"), base.join("bin/busybox")] {
            give(&path, 0)?;
        }
    }
    Ok(base.to_string_lossy().into_owned())
}

/// A plan whose root is an image of these layers.
fn image(
    world: &World,
    layers: Vec<String>,
    script: &str,
) -> Result<(LaunchPlan, PathBuf), Box<dyn std::error::Error>> {
    let mut plan = world.plan(script)?;
    let scratch = world.directory.join(format!("{}.scratch", plan.container));
    fs::create_dir_all(&scratch)?;
    plan.root = Root::Overlay(Overlay {
        layers,
        ids: Some(STORE),
        scratch: Scratch::Directory(scratch.to_string_lossy().into_owned()),
        access: Access::ReadWrite,
    });
    plan.mounts.retain(|mount| mount.target != "/tmp");
    Ok((plan, scratch))
}

pub(crate) fn layers_of_an_image_are_a_root_that_can_be_written_to(world: &World) -> Outcome {
    let low = layer(
        world,
        "low",
        &[
            ("etc/a", "low", 0),
            ("etc/b", "low", 33),
            ("gone/x", "x", 0),
            ("odd/x", "x", 0),
        ],
    )?;
    let high = layer(world, "high", &[("etc/a", "high", 33), ("odd/y", "y", 0)])?;
    // As the unpacker writes them: a whiteout, and a directory that hides the one below.
    let whiteout = Path::new(&high).join("gone");
    nix::sys::stat::mknod(
        &whiteout,
        nix::sys::stat::SFlag::S_IFCHR,
        nix::sys::stat::Mode::empty(),
        0,
    )?;
    opaque(&Path::new(&high).join("odd"))?;
    let layers = vec![base(world)?, low.clone(), high];
    let (mut plan, scratch) = image(
        world,
        layers.clone(),
        "cat /etc/a /etc/b; echo; stat -c %u /etc/a /etc/b / /mnt; ls /odd; ls /gone 2>/dev/null
         echo new >/etc/a && rm /etc/b && mkdir /new && rmdir /new && mkdir /new && rm -r /odd && mkdir /odd && echo 1 >/odd/z
         chown 7 /etc/a && stat -c %u /etc/a && cat /etc/a && ls /odd && mv /odd /other && echo done",
    )?;
    // Of chown(2), and over files of others: an image's package manager needs them.
    plan.capabilities.effective = [0, 1, 3].map(Capability).to_vec();
    plan.capabilities.bounding = plan.capabilities.effective.clone();
    let (output, _) = world.run_plan(&plan)?;
    let expected = "highlow\n33\n33\n0\n0\ny\n7\nnew\nz\ndone\n";
    same(output.as_str(), expected, "output")?;
    same(
        fs::read_to_string(Path::new(&low).join("etc/b"))?.as_str(),
        "low",
        "the layer",
    )?;
    let changed = fs::metadata(scratch.join("upper/etc/a"))?.uid();
    same(changed, IDS.first + 7, "the owner of a change")?;
    // The next container begins anew, with other ids.
    let (mut plan, _) = image(world, layers, "cat /etc/a; stat -c %u /etc/b")?;
    plan.ids.first += plan.ids.length;
    same(
        world.run_plan(&plan)?.0.as_str(),
        "high33\n",
        "another container",
    )
}

/// Marks a directory as one that hides those below it.
#[expect(unsafe_code, reason = "no crate here sets extended attributes")]
fn opaque(path: &Path) -> Outcome {
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())?;
    let name = c"user.overlay.opaque";
    // SAFETY: both texts end with a NUL byte, and one byte is read of the value.
    let rc = unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), b"y".as_ptr().cast(), 1, 0) };
    nix::errno::Errno::result(rc)?;
    Ok(())
}

pub(crate) fn an_image_may_have_as_many_layers_as_registries_take(world: &World) -> Outcome {
    let mut layers = vec![base(world)?];
    for number in 0..126 {
        let name = format!("layer{number}");
        let (own, all) = (format!("n/{number}"), number.to_string());
        let files = [(own.as_str(), "x", 0), ("n/last", all.as_str(), 0)];
        layers.push(layer(world, &name, &files)?);
    }
    let (plan, _) = image(world, layers, "ls /n | wc -l; cat /n/last")?;
    same(world.run_plan(&plan)?.0.as_str(), "127\n125", "output")?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let here = world.directory.to_string_lossy().into_owned();
    same(mounts.contains(&here), false, "mounts are left on the host")
}

pub(crate) fn a_layer_that_is_not_there_is_named(world: &World) -> Outcome {
    let (plan, _) = image(world, vec![base(world)?, "/none/layer".into()], "true")?;
    let error = launch::spawn(&world.host, &plan, None);
    let text = chain(&error.err().ok_or("it started")?);
    let expected = "launch: overlay: open layer /none/layer: ENOENT";
    same(text.starts_with(expected), true, &text)
}

/// A plan with one more mount, whose place is in a root that is not everyone's.
fn with_volume(
    world: &World,
    target: &str,
    content: Content,
    script: &str,
) -> Result<LaunchPlan, Box<dyn std::error::Error>> {
    let mut plan = world.plan(script)?;
    plan.root = Root::Overlay(Overlay {
        layers: vec![world.root().to_string_lossy().into_owned()],
        ids: None,
        scratch: Scratch::Memory { bytes_max: 1 << 20 },
        access: Access::ReadOnly,
    });
    plan.mounts.push(Mount {
        target: target.into(),
        content,
    });
    Ok(plan)
}

fn host(source: &Path, access: Access) -> Content {
    Content::Host {
        source: source.to_string_lossy().into_owned(),
        access,
        beneath: MountsBeneath::Hidden,
    }
}

pub(crate) fn a_host_path_has_its_owners_inside_and_no_link_leads_elsewhere(
    world: &World,
) -> Outcome {
    let source = world.directory.join("host");
    fs::create_dir_all(source.join("inner"))?;
    fs::write(source.join("file"), "of the host\n")?;
    let script = "cat /srv/deep/file; stat -c %u /srv/deep/file; echo new >/srv/deep/inner/x; touch /x 2>/dev/null && echo wrote";
    let plan = with_volume(world, "/srv/deep", host(&source, Access::ReadWrite), script)?;
    same(
        world.run_plan(&plan)?.0.as_str(),
        "of the host\n0\n",
        "output",
    )?;
    let owner = fs::metadata(source.join("inner/x"))?.uid();
    same(owner, 0, "the owner on the host")?;
    same(
        world.root().join("srv").exists(),
        false,
        "a place in the shared root",
    )?;

    let script = "echo x >/srv/inner/y && echo wrote; cat /srv/file";
    let plan = with_volume(world, "/srv", host(&source, Access::ReadOnly), script)?;
    let (output, _) = world.run_plan(&plan)?;
    same(output.starts_with("of the host\n"), true, &output)?;

    let file = source.join("file");
    let plan = with_volume(
        world,
        "/etc/one",
        host(&file, Access::ReadOnly),
        "cat /etc/one",
    )?;
    same(world.run_plan(&plan)?.0.as_str(), "of the host\n", "a file")?;

    symlink("/etc", source.join("link"))?;
    let link = source.join("link");
    for (source, errno) in [
        (link.join("passwd"), "ELOOP"),
        (link, "ELOOP"),
        (source.join("no"), "ENOENT"),
    ] {
        let plan = with_volume(world, "/srv", host(&source, Access::ReadOnly), "true")?;
        let text = chain(
            &launch::spawn(&world.host, &plan, None)
                .err()
                .ok_or("it started")?,
        );
        let expected = format!("launch: make mount /srv: {errno}");
        same(text.starts_with(&expected), true, &text)?;
    }
    Ok(())
}

pub(crate) fn a_host_path_shows_what_is_mounted_beneath_it_only_where_it_is_asked_to(
    world: &World,
) -> Outcome {
    let source = world.directory.join("propagated");
    for folder in ["", "before", "later"] {
        fs::create_dir_all(source.join(folder))?;
    }
    let memory = |at: &Path| boot_mounts::mount("tmpfs", at, "tmpfs", Flags::empty(), "size=64k");
    // A mount of its own, whose changes others hear of.
    memory(&source)?;
    let shared = None::<&str>;
    nix::mount::mount(shared, &source, shared, MsFlags::MS_SHARED, shared)?;
    for folder in ["before", "later"] {
        fs::create_dir_all(source.join(folder))?;
    }
    memory(&source.join("before"))?;
    fs::write(source.join("before/file"), "of before\n")?;

    let script =
        "cat /srv/before/file 2>/dev/null; touch /srv/before/x 2>/dev/null && echo wrote; echo up
                  while [ ! -e go ]; do sleep 0.02; done; cat /srv/later/file 2>/dev/null";
    let mut plans = Vec::new();
    for beneath in [MountsBeneath::Hidden, MountsBeneath::Followed] {
        let content = Content::Host {
            source: source.to_string_lossy().into_owned(),
            access: Access::ReadOnly,
            beneath,
        };
        let plan = with_volume(world, "/srv", content, script)?;
        let launched = world.spawn(&plan)?;
        world.wait_for(&plan, "up")?;
        plans.push((plan, launched));
    }
    memory(&source.join("later"))?;
    fs::write(source.join("later/file"), "of later\n")?;
    let mut outputs = Vec::new();
    for (plan, launched) in &plans {
        fs::write(sandbox(plan).join("go"), "")?;
        world.end(plan, launched)?;
        outputs.push(world.output(plan)?);
    }
    nix::mount::umount2(&source, MntFlags::MNT_DETACH)?;
    same(outputs[0].as_str(), "up\n", "hidden")?;
    same(outputs[1].as_str(), "of before\nup\nof later\n", "followed")
}

pub(crate) fn a_part_of_a_sandbox_is_shared_and_no_link_in_it_is_followed(
    world: &World,
) -> Outcome {
    let other = world.plan("")?;
    let shared = sandbox(&other).to_path_buf();
    let part = |path: &str| Content::Beneath {
        directory: shared.to_string_lossy().into_owned(),
        path: path.into(),
        access: Access::ReadWrite,
    };
    let mut plan = with_volume(
        world,
        &format!("{SANDBOX}/mine/deep"),
        part("made/here"),
        "stat -c %u mine/deep; echo shared >mine/deep/file",
    )?;
    process_of(&mut plan).user.uid = 1000;
    same(world.run_plan(&plan)?.0.as_str(), "1000\n", "the owner")?;
    let mut plan = with_volume(world, "/data", part("made"), "cat /data/here/file")?;
    process_of(&mut plan).user.uid = 1000;
    same(
        world.run_plan(&plan)?.0.as_str(),
        "shared\n",
        "the other's file",
    )?;

    symlink("/etc", shared.join("link"))?;
    symlink("/etc/passwd", shared.join("made/link"))?;
    for (path, errno) in [
        ("link", "ELOOP"),
        ("link/x", "ELOOP"),
        ("made/link", "ELOOP"),
        ("../x", "EXDEV"),
    ] {
        let plan = with_volume(world, "/data", part(path), "ls /data")?;
        let text = chain(&launch::spawn(&world.host, &plan, None).err().ok_or(path)?);
        let expected = format!("launch: make mount /data: {errno}");
        same(text.starts_with(&expected), true, &text)?;
    }
    Ok(())
}

pub(crate) fn a_secret_is_a_file_for_the_user_alone(world: &World) -> Outcome {
    let secret = Content::File {
        content: Secret(b"hush\n".to_vec()),
        mode: 0o400,
    };
    let script = "cat /run/secret; stat -c '%a %u' /run/secret; echo x 2>/dev/null >/run/secret";
    let mut plan = with_volume(world, "/run/secret", secret, script)?;
    process_of(&mut plan).user.uid = 1000;
    let (output, _) = world.run_plan(&plan)?;
    same(output.starts_with("hush\n400 1000\n"), true, &output)?;
    same(format!("{plan:?}").contains("hush"), false, "it is shown")
}

pub(crate) fn an_image_is_a_volume_too(world: &World) -> Outcome {
    let layers = vec![
        layer(world, "lib1", &[("lib/one", "1", 5)])?,
        layer(world, "lib2", &[("lib/two", "2", 0)])?,
    ];
    let image = |scratch, access| {
        Content::Image(Overlay {
            layers: layers.clone(),
            ids: Some(STORE),
            scratch,
            access,
        })
    };
    let memory = Scratch::Memory { bytes_max: 1 << 20 };
    let script = "ls /opt/lib; stat -c %u /opt/lib/one; touch /opt/lib/x 2>/dev/null && echo wrote";
    let plan = with_volume(world, "/opt", image(memory, Access::ReadOnly), script)?;
    same(
        world.run_plan(&plan)?.0.as_str(),
        "one\ntwo\n5\n",
        "read-only",
    )?;
    let scratch = world.directory.join("scratch");
    fs::create_dir_all(&scratch)?;
    let scratch = Scratch::Directory(scratch.to_string_lossy().into_owned());
    let plan = with_volume(world, "/opt", image(scratch, Access::ReadWrite), script)?;
    same(
        world.run_plan(&plan)?.0.as_str(),
        "one\ntwo\n5\nwrote\n",
        "to write to",
    )
}

pub(crate) fn what_a_root_of_layers_forbids(world: &World) -> Outcome {
    let high = layer(world, "setuid", &[("sbin/su", "", 0)])?;
    let program = Path::new(&high).join("sbin/su");
    fs::copy(world.root().join("bin/busybox"), &program)?;
    give(&program, 0)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755))?;
    let script = "/sbin/su; mknod /dev/sda b 8 0 2>/dev/null && echo made
         mknod /null c 1 3 2>/dev/null && echo made; ls /proc/1/root/ 2>/dev/null; echo end";
    let (mut plan, _) = image(world, vec![base(world)?, high], script)?;
    process_of(&mut plan).user.uid = 1000;
    let (output, status) = world.run_plan(&plan)?;
    same(status, ExitStatus::Exited(0), &output)?;
    same(output.contains("made"), false, &output)?;
    same(output.contains("must be suid to work"), true, &output)
}
