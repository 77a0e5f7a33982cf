//! Networks that were made before their container, and what connects them.

use std::error::Error;
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use agent_kernel::cgroup;
use agent_kernel::landlock::Abi;
use agent_kernel::launch::{self, Launched};
use agent_kernel::netlink::{Link, Netlink};
use agent_kernel::network::{Connection, Space, Tables, connect, make_bridge};
use agent_kernel::process;
use model::sandbox::{
    Bridge, Content, Endpoint, Enforcement, ExitStatus, Firewall, Ipv4Net, Isolation, Landlock,
    LaunchPlan, Namespace, Neighbours, Nesting, Network, PortMapping, Rates, Run, Transport, User,
};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::Signal;

use crate::nested::{nested, run_in};
use crate::world::{World, chain, process_of, same};
use crate::{Outcome, filters};

/// Makes a plan one for a ready network.
fn ready(plan: &mut LaunchPlan) {
    plan.namespaces.push(Namespace::Network);
    plan.network = Network::Ready { endpoint: None };
    for mount in &mut plan.mounts {
        if mount.target == "/sys" {
            mount.content = Content::Sysfs;
        }
    }
}

pub(crate) fn a_ready_network_works_and_cannot_be_changed_from_inside(world: &World) -> Outcome {
    // A server whose input has ended says so to its client, which may then end before it has spoken.
    let mut plan = world.plan(
        "ls /sys/class/net; cat /proc/sys/net/ipv4/ip_unprivileged_port_start
         mkfifo quiet; nc -l -p 80 <>quiet >got & for n in $(seq 100); do
             echo hello | nc -w 20 127.0.0.1 80 2>/dev/null && break; sleep 0.1
         done; wait; cat got
         ip link set lo down 2>/dev/null && echo changed a device
         ip addr add 10.9.9.9/32 dev lo 2>/dev/null && echo added an address
         touch /sys/class/net/lo/mtu 2>/dev/null && echo wrote to sysfs; true",
    )?;
    ready(&mut plan);
    let process = process_of(&mut plan);
    process.user.uid = 1000;
    process.user.gid = 1000;
    let space = Space::make()?;
    let launched = launch::spawn_in(&world.host, &plan, None, Some(&space));
    let launched = launched.map_err(|error| chain(&error))?;
    drop(space);
    let status = world.end(&plan, &launched)?;
    let output = world.output(&plan)?;
    same(status, ExitStatus::Exited(0), &output)?;
    same(output.as_str(), "lo\n0\nhello\n", "output")
}

pub(crate) fn a_ready_network_is_no_other_containers(world: &World) -> Outcome {
    let spaces = [Space::make()?, Space::make()?];
    let mut seen = vec![
        std::fs::read_link("/proc/self/ns/net")?
            .display()
            .to_string(),
    ];
    for space in &spaces {
        let mut plan = world.plan("readlink /proc/self/ns/net")?;
        ready(&mut plan);
        let launched = launch::spawn_in(&world.host, &plan, None, Some(space))?;
        world.end(&plan, &launched)?;
        seen.push(world.output(&plan)?.trim().to_string());
    }
    seen.sort();
    seen.dedup();
    same(seen.len(), 3, &seen.join(" "))
}

pub(crate) fn a_plan_for_a_ready_network_wants_one(world: &World) -> Outcome {
    let mut plan = world.plan("true")?;
    ready(&mut plan);
    let error = launch::spawn(&world.host, &plan, None).err();
    let text = error.map(|error| chain(&error)).unwrap_or_default();
    same(text.contains("there is none"), true, &text)
}

/// The node of a test: a network of its own for this thread, with an address, a bridge and tables.
struct Node {
    netlink: Netlink,
    tables: Tables,
    firewall: Firewall,
}

/// What a kernel says that lacks bridges, pairs or a part of nftables.
const LACKING: [Errno; 3] = [Errno::EOPNOTSUPP, Errno::EPROTONOSUPPORT, Errno::ENOENT];

const NODE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const BRIDGE: &str = "tb-test-0";

fn bridge() -> Bridge {
    Bridge {
        device: BRIDGE.into(),
        gateway: Ipv4Net {
            address: Ipv4Addr::new(10, 77, 0, 1),
            prefix: 24,
        },
    }
}

fn endpoint(number: u8, neighbours: Neighbours) -> Endpoint {
    let mapping = |protocol, host_port| PortMapping {
        protocol,
        host_port,
        container_port: 80,
    };
    Endpoint {
        bridge: bridge(),
        device: format!("tv-test-{number}"),
        address: Ipv4Addr::new(10, 77, 0, number),
        neighbours,
        mappings: vec![
            mapping(Transport::Tcp, 31000 + u16::from(number)),
            mapping(Transport::Udp, 31000 + u16::from(number)),
        ],
        rates: Rates::default(),
    }
}

impl Node {
    /// None, said so, where this host's kernel lacks a part.
    fn new() -> Result<Option<Self>, Box<dyn Error>> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        // A host may pass bridged packets through the tables of routed ones; a node does not.
        let _ = std::fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", "0");
        let mut netlink = Netlink::open()?;
        let loopback = Link {
            name: "lo".into(),
            index: 1,
            mac: [0; 6],
        };
        netlink.set_up(&loopback)?;
        netlink.add_address(&loopback, NODE, 32)?;
        let firewall = Firewall {
            name: "tepui-test".into(),
            bridges: "tb-test-".into(),
            devices: "tv-test-".into(),
            gateways: vec![bridge().gateway],
            agent_port: 5051,
            task_ports: vec![(31000, 32000)],
        };
        let mut tables = Tables::open(&firewall.name)?;
        let made =
            make_bridge(&mut netlink, &bridge()).and_then(|()| Ok(tables.install(&firewall)?));
        match made {
            // The keeper of the bridge is ready after a moment, as it is when a node has booted.
            Ok(()) => std::thread::sleep(Duration::from_millis(1200)),
            Err(error) if LACKING.contains(&error.errno()) => {
                println!("  left out: {}", chain(&error));
                return Ok(None);
            }
            Err(error) => return Err(chain(&error).into()),
        }
        Ok(Some(Self {
            netlink,
            tables,
            firewall,
        }))
    }

    fn connect(&mut self, endpoint: &Endpoint) -> Result<(Space, Connection), Box<dyn Error>> {
        let mut space = Space::make()?;
        let connection = connect(&mut self.netlink, &mut self.tables, &mut space, endpoint)
            .map_err(|error| chain(&error))?;
        Ok((space, connection))
    }
}

/// Starts a line of shell in a connected network.
fn start(
    world: &World,
    script: &str,
    space: &Space,
) -> Result<(LaunchPlan, Launched), Box<dyn Error>> {
    let mut plan = world.plan(script)?;
    ready(&mut plan);
    let launched = launch::spawn_in(&world.host, &plan, None, Some(space));
    Ok((plan, launched.map_err(|error| chain(&error))?))
}

/// Runs a test in a thread, whose network is the node's and ends with it.
fn apart(run: impl FnOnce() -> Outcome + Send) -> Outcome {
    std::thread::scope(|scope| {
        let ended = scope
            .spawn(|| run().map_err(|error| error.to_string()))
            .join();
        Ok(ended.map_err(|_| "it panicked")??)
    })
}

/// What a port answers within ten seconds.
fn ask(address: (Ipv4Addr, u16)) -> Result<String, Box<dyn Error>> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut text = String::new();
        let asked = TcpStream::connect(address).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.read_to_string(&mut text)
        });
        match asked {
            Ok(_) if !text.is_empty() => return Ok(text),
            result if Instant::now() > deadline => {
                return Err(format!("{address:?}: {result:?} {text:?}").into());
            }
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

pub(crate) fn a_mapped_port_leads_to_its_container_until_it_ends(world: &World) -> Outcome {
    apart(|| {
        let Some(mut node) = Node::new()? else {
            return Ok(());
        };
        let end = endpoint(2, Neighbours::Apart);
        let (space, connection) = node.connect(&end)?;
        let twice = node.tables.admit(&end, connection.device).err();
        same(
            twice.map(|error| error.errno()),
            Some(Errno::EEXIST),
            "a port mapped twice",
        )?;
        let script = "ip -4 -o addr show dev eth0 | tr -s ' ' | cut -d' ' -f4
             ip route | head -n 1 | cut -d' ' -f1-3
             echo it is me | nc -l -p 80 >/dev/null";
        let (plan, launched) = start(world, script, &space)?;
        drop(space);
        same(ask((NODE, 31002))?.as_str(), "it is me\n", "the answer")?;
        process::signal(&launched.pidfd, Signal::SIGKILL)?;
        world.end(&plan, &launched)?;
        let output = world.output(&plan)?;
        same(
            output.as_str(),
            "10.77.0.2/24\ndefault via 10.77.0.1\n",
            "what it sees",
        )?;
        // A source, and a port of each kind.
        same(node.tables.elements()?, 3, "elements while it is connected")?;
        connection.end(&mut node.netlink, &mut node.tables, &end)?;
        same(node.tables.elements()?, 0, "elements afterwards")?;
        let names = node.netlink.names()?;
        same(
            names.len(),
            4,
            &format!("the devices that are left: {names:?}"),
        )?;
        let again = node.tables.withdraw(&end, connection.device).err();
        same(
            again.map(|error| error.errno()),
            Some(Errno::ENOENT),
            "elements that are left",
        )?;
        // What was let in once can be again: nothing of it was left.
        node.tables.admit(&end, connection.device)?;
        node.tables.remove()?;
        node.tables.remove()?;
        node.tables.install(&node.firewall)?;
        Ok(())
    })
}

pub(crate) fn neighbours_reach_each_other_by_mapped_ports_or_where_they_may(
    world: &World,
) -> Outcome {
    for (neighbours, directly) in [(Neighbours::Apart, "apart"), (Neighbours::Open, "open")] {
        apart(|| {
            let Some(mut node) = Node::new()? else {
                return Ok(());
            };
            let (a, b) = (endpoint(2, neighbours), endpoint(3, neighbours));
            let (first, _) = node.connect(&a)?;
            let (second, _) = node.connect(&b)?;
            let serve = "while true; do echo served | nc -l -p 80 >/dev/null; done";
            let (served, server) = start(world, serve, &first)?;
            ask((NODE, 31002))?;
            let script = format!(
                "try() {{ for n in $(seq $4); do
                     # Between two connections the server does not listen.
                     nc -w 2 $1 $2 </dev/null 2>/dev/null | grep -q served && echo $3 && return
                     sleep 0.3
                 done; }}
                 try 10.77.0.2 80 open 2; try {NODE} 31002 mapped 10
                 nc -w 2 10.77.0.1 9 </dev/null 2>&1 | grep -q refused && echo the node answers
                 true"
            );
            let (plan, launched) = start(world, &script, &second)?;
            world.end(&plan, &launched)?;
            let output = world.output(&plan)?;
            process::signal(&server.pidfd, Signal::SIGKILL)?;
            world.end(&served, &server)?;
            let expected = match neighbours {
                Neighbours::Apart => "mapped\n",
                Neighbours::Open => "open\nmapped\n",
            };
            same(output.as_str(), expected, directly)
        })?;
    }
    Ok(())
}

/// Sends until something is heard, and tells whom from: a device that has just come up loses what is
/// sent before it is ready, which takes the kernel up to seconds.
fn heard_from(
    socket: &UdpSocket,
    to: SocketAddr,
    listener: &UdpSocket,
) -> std::io::Result<SocketAddr> {
    let mut tries = 0;
    loop {
        socket.send_to(b"x", to)?;
        match listener.recv_from(&mut [0; 1]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock && tries < 100 => tries += 1,
            heard => return heard.map(|(_, from)| from),
        }
    }
}

pub(crate) fn a_container_sends_from_its_own_address_alone(world: &World) -> Outcome {
    apart(|| {
        let Some(mut node) = Node::new()? else {
            return Ok(());
        };
        let end = endpoint(2, Neighbours::Open);
        let (space, _) = node.connect(&end)?;
        let listener = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 31500))?;
        listener.set_read_timeout(Some(Duration::from_millis(500)))?;
        // As a container that could change its network would send.
        let sender = |source: Ipv4Addr| -> Result<UdpSocket, Errno> {
            std::thread::scope(|scope| {
                let inside = scope.spawn(|| {
                    setns(&space, CloneFlags::CLONE_NEWNET)?;
                    let mut netlink = Netlink::open().map_err(|error| error.errno())?;
                    let inside = Link {
                        name: "eth0".into(),
                        index: netlink.index("eth0").map_err(|error| error.errno())?,
                        mac: end.mac(),
                    };
                    let added = netlink.add_address(&inside, source, 32);
                    added.map_err(|error| error.errno())?;
                    UdpSocket::bind((source, 0)).map_err(|_| Errno::EADDRNOTAVAIL)
                });
                inside.join().unwrap_or(Err(Errno::EIO))
            })
        };
        let to = SocketAddr::from((end.bridge.gateway.address, 31500));
        let own = sender(end.address)?;
        let from = heard_from(&own, to, &listener)?;
        same(
            from.ip().to_string(),
            end.address.to_string(),
            "its own address",
        )?;
        let mut byte = [0; 1];
        while listener.recv_from(&mut byte).is_ok() {}
        // The device is ready by now.
        let false_one = sender(Ipv4Addr::new(10, 77, 0, 9))?;
        for _ in 0..20 {
            false_one.send_to(b"x", to)?;
        }
        let heard = listener.recv_from(&mut byte).map(|(_, from)| from);
        let kind = heard.as_ref().err().map(std::io::Error::kind);
        same(
            kind,
            Some(ErrorKind::WouldBlock),
            &format!("a false address: {heard:?}"),
        )?;
        let _ = world;
        Ok(())
    })
}

pub(crate) fn only_ports_of_ones_own_are_bound_by_number(world: &World) -> Outcome {
    if world.host.cgroups().is_none() {
        println!("  left out: this host has no cgroup v2");
        return Ok(());
    }
    let script = format!("{BIND} bind -u -l -p 31001");
    let mut plan = world.plan(&script)?;
    plan.cgroup.ports = Some(vec![(31000, 31000), (31002, 31002)]);
    let launched = world.spawn(&plan)?;
    let missing = launched.enforcement.missing.clone();
    world.end(&plan, &launched)?;
    let output = world.output(&plan)?;
    if let Some((_, why)) = missing.iter().find(|(one, _)| *one == Isolation::Ports) {
        println!("  left out: {why}");
        return Ok(());
    }
    same(bound(&output).as_str(), "31000 31002 any", &output)
}

/// Says which ports could be bound; whoever listens on one does so until it is told to stop.
const BIND: &str = "bind() {
             nc $* >/dev/null 2>&1 & pid=$!; sleep 1
             kill $pid 2>/dev/null && echo bound ${3:-any}
         }
         for p in 31000 31001 31002 80; do bind -l -p $p; done; bind -l;";

fn bound(output: &str) -> String {
    let ports = output
        .lines()
        .filter_map(|line| line.strip_prefix("bound "));
    ports.collect::<Vec<_>>().join(" ")
}

pub(crate) fn ports_that_come_and_go_are_bound_by_what_runs_and_what_is_nested(
    world: &World,
) -> Outcome {
    let Some(tree) = world.host.cgroups() else {
        println!("  left out: this host has no cgroup v2");
        return Ok(());
    };
    let mut pod = world.plan("")?;
    pod.run = Run::Hold(User::default());
    pod.cgroup.nesting = Nesting::Limited;
    pod.cgroup.ports = Some(vec![(31000, 31000)]);
    let launched = world.spawn(&pod)?;
    if let Some((_, why)) =
        (launched.enforcement.missing.iter()).find(|(isolation, _)| *isolation == Isolation::Ports)
    {
        println!("  left out: {why}");
    } else {
        let (first, _) = run_in(world, &launched, &nested(world, &pod, BIND)?)?;
        let made = cgroup::update_ports(tree, &pod.container, &[(31001, 31002)]);
        same(
            made.enforced.as_slice(),
            &[Isolation::Ports][..],
            "replaced",
        )?;
        let (second, _) = run_in(world, &launched, &nested(world, &pod, BIND)?)?;
        same(bound(&first).as_str(), "31000 any", &first)?;
        same(bound(&second).as_str(), "31001 31002 any", &second)?;
    }
    process::signal(&launched.pidfd, Signal::SIGTERM)?;
    world.end(&pod, &launched)?;
    // What is not bounded stays so.
    let free = world.plan("sleep 60")?;
    let launched = world.spawn(&free)?;
    let made = cgroup::update_ports(tree, &free.container, &[(1, 1)]);
    process::signal(&launched.pidfd, Signal::SIGKILL)?;
    world.end(&free, &launched)?;
    same(made, Enforcement::default(), "without bounds")
}

pub(crate) fn only_tcp_ports_of_ones_own_are_bound_by_landlock(world: &World) -> Outcome {
    let mut plan = world.plan(BIND)?;
    plan.landlock = Some(Landlock {
        ports: Some(vec![31000, 31002]),
        ..filters::ruleset()
    });
    let launched = world.spawn(&plan)?;
    world.end(&plan, &launched)?;
    let has_ports = Abi::current().ports().is_ok();
    let told = launched.enforcement.enforced.contains(&Isolation::TcpPorts);
    same(told, has_ports, &format!("{:?}", launched.enforcement))?;
    let output = world.output(&plan)?;
    let expected = match has_ports {
        true => "31000 31002 any",
        // A port below 1024 takes a right that nobody has here.
        false => "31000 31001 31002 any",
    };
    same(bound(&output).as_str(), expected, &output)
}

pub(crate) fn what_a_container_sends_and_receives_is_bounded(_: &World) -> Outcome {
    apart(|| {
        let Some(mut node) = Node::new()? else {
            return Ok(());
        };
        let mut end = endpoint(2, Neighbours::Apart);
        end.rates = Rates {
            egress: Some(64 << 10),
            ingress: Some(5 << 30),
        };
        let (space, _) = node.connect(&end)?;
        let listener = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 31500))?;
        listener.set_read_timeout(Some(Duration::from_millis(300)))?;
        let socket = std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(&space, CloneFlags::CLONE_NEWNET)?;
                UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(|_| Errno::EADDRNOTAVAIL)
            });
            inside.join().unwrap_or(Err(Errno::EIO))
        })?;
        let to = SocketAddr::from((end.bridge.gateway.address, 31500));
        heard_from(&socket, to, &listener)?;
        // 1 MB at once: what passes is a burst and what waits, and no more.
        let packet = [0; 1000];
        for _ in 0..1000 {
            socket.send_to(&packet, to)?;
        }
        let (mut buffer, mut heard) = ([0; 1000], 0);
        while let Ok((length, _)) = listener.recv_from(&mut buffer) {
            heard += length;
        }
        let bounded = (10_000..200_000).contains(&heard);
        same(bounded, true, &format!("{heard} bytes came through"))
    })
}
