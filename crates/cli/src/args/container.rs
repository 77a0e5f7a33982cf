//! What a task needs to run: its image, files, ports and checks, as options of `tepui run`.

use clap::Args;

/// An image by the options that name one.
#[derive(Args)]
#[command(next_help_heading = "Image and files")]
pub(crate) struct ContainerArgs {
    /// Docker or OCI image that is the task's root, as in redis:7 or host:5000/web; CMD may then be
    /// left out, and is the image's own.
    #[arg(long, value_name = "NAME", conflicts_with = "appc")]
    pub(crate) image: Option<String>,
    /// Appc image that is the task's root.
    #[arg(long, value_name = "NAME")]
    pub(crate) appc: Option<String>,
    /// Pull the image though the node has it.
    #[arg(long)]
    pub(crate) force_pull: bool,
    /// File to fetch into the sandbox, with options as in URI,executable,extract=false,cache,output=NAME;
    /// may be given again.
    #[arg(long = "uri", value_name = "URI[,OPTION]…", value_parser = uri)]
    pub(crate) uris: Vec<Uri>,
    /// Directory to mount: SOURCE is a path of the node, or one beneath the sandbox; may be given again.
    #[arg(long = "volume", short = 'v', value_name = "SOURCE:PATH[:ro]", value_parser = volume)]
    pub(crate) volumes: Vec<Volume>,
    /// Network to join by its name; host is the node's own.
    #[arg(long, value_name = "NAME", default_value = "host")]
    pub(crate) network: String,
    /// Port of the node, 0 for any that is offered, that leads to one of the task's in its network; may be
    /// given again. The node's are in PORT0, PORT1, … after those of --port.
    #[arg(long, value_name = "PORT:TASKS[/udp]", value_parser = publish, requires = "network")]
    pub(crate) publish: Vec<Publish>,
    /// Name that the container has for itself.
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Port of the node to hold, 0 for any that is offered; may be given again. The task finds them in
    /// PORT0, PORT1, …, and the first in PORT too.
    #[arg(long = "port", short = 'p', value_name = "PORT")]
    pub(crate) ports: Vec<u16>,
    /// Node to run on, by its host name.
    #[arg(long, value_name = "NAME")]
    pub(crate) node: Option<String>,
}

impl ContainerArgs {
    /// The ports of the node that the task holds, 0 for any: its own, then those that lead to it.
    pub(crate) fn node_ports(&self) -> Vec<u16> {
        let published = self.publish.iter().map(|one| one.port);
        self.ports.iter().copied().chain(published).collect()
    }
}

/// When a task is healthy, and how it ends.
#[derive(Args)]
#[command(next_help_heading = "Health and end")]
pub(crate) struct HealthArgs {
    /// Line for the shell that is healthy when it ends with 0.
    #[arg(long, value_name = "LINE", conflicts_with_all = ["health_http", "health_tcp"])]
    pub(crate) health_cmd: Option<String>,
    /// Path that is healthy when it answers with a status from 200 to 399.
    #[arg(long, value_name = "PATH", conflicts_with = "health_tcp")]
    pub(crate) health_http: Option<String>,
    /// Healthy is a port that takes a connection.
    #[arg(long)]
    pub(crate) health_tcp: bool,
    /// Port for the two above [default: that of the first --port].
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) health_port: Option<u16>,
    /// Seconds before the first check.
    #[arg(long, value_name = "S", default_value = "15", value_parser = seconds)]
    pub(crate) health_delay: f64,
    /// Seconds between two checks.
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    pub(crate) health_interval: f64,
    /// Seconds that a check may take.
    #[arg(long, value_name = "S", default_value = "20", value_parser = seconds)]
    pub(crate) health_timeout: f64,
    /// Seconds from the start during which a failed check does not count.
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    pub(crate) health_grace: f64,
    /// Checks that fail in a row until the task is killed.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) health_failures: u32,
    /// Seconds between SIGTERM and SIGKILL when the task is killed [default: the node's].
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) kill_grace: Option<f64>,
    /// Seconds after which the task is killed, if it still runs.
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) max_time: Option<f64>,
}

/// One `--uri`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Uri {
    pub(crate) value: String,
    pub(crate) executable: bool,
    pub(crate) extract: bool,
    pub(crate) cache: bool,
    pub(crate) output: Option<String>,
}

/// One `--publish`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publish {
    pub(crate) port: u16,
    pub(crate) container_port: u16,
    pub(crate) protocol: &'static str,
}

/// One `--volume`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Volume {
    pub(crate) source: String,
    pub(crate) path: String,
    pub(crate) is_read_only: bool,
}

/// Options are taken from the end, since a URI may hold commas itself.
fn uri(text: &str) -> Result<Uri, String> {
    let mut uri = Uri {
        value: text.to_owned(),
        executable: false,
        extract: true,
        cache: false,
        output: None,
    };
    while let Some((rest, option)) = uri.value.rsplit_once(',') {
        match option.split_once('=').unwrap_or((option, "true")) {
            ("executable", value) => uri.executable = switch("executable", value)?,
            ("extract", value) => uri.extract = switch("extract", value)?,
            ("cache", value) => uri.cache = switch("cache", value)?,
            ("output", "" | "true") => return Err("output wants a name".to_owned()),
            ("output", name) => uri.output = Some(name.to_owned()),
            _ => break,
        }
        uri.value = rest.to_owned();
    }
    match uri.value.split_once("://") {
        Some((scheme, rest)) if !scheme.is_empty() && !rest.is_empty() => Ok(uri),
        Some(_) | None if uri.value.starts_with('/') => Ok(uri),
        Some(_) | None => {
            Err("must be a URI, as in http://host/file, or a path of the node".to_owned())
        }
    }
}

fn publish(text: &str) -> Result<Publish, String> {
    let wrong =
        || "must have the form PORT:TASKS, with /udp after it or not, as in 0:80".to_owned();
    let (ports, protocol) = match text.split_once('/') {
        None | Some((_, "tcp")) => (text.trim_end_matches("/tcp"), "tcp"),
        Some((ports, "udp")) => (ports, "udp"),
        Some(_) => return Err(wrong()),
    };
    let (port, container_port) = ports.split_once(':').ok_or_else(wrong)?;
    let read = |text: &str| text.parse::<u16>().map_err(|_| wrong());
    match (read(port)?, read(container_port)?) {
        (_, 0) => Err(wrong()),
        (port, container_port) => Ok(Publish {
            port,
            container_port,
            protocol,
        }),
    }
}

fn switch(option: &str, value: &str) -> Result<bool, String> {
    value
        .parse()
        .map_err(|_| format!("{option} is true or false"))
}

fn volume(text: &str) -> Result<Volume, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, path, is_read_only) = match *parts.as_slice() {
        [source, path] | [source, path, "rw"] => (source, path, false),
        [source, path, "ro"] => (source, path, true),
        _ => ("", "", false),
    };
    if source.is_empty() || path.is_empty() {
        return Err("must have the form SOURCE:PATH, with :ro or :rw after it or not".to_owned());
    }
    Ok(Volume {
        source: source.to_owned(),
        path: path.to_owned(),
        is_read_only,
    })
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.0..=1e9).contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err("must be a number of seconds".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_follow_a_uri_and_its_own_commas_stay() {
        let read = uri("http://h/a,b.tar,extract=false,executable,output=x").unwrap();
        assert_eq!(read.value, "http://h/a,b.tar");
        assert!(!read.extract && read.executable && !read.cache);
        assert_eq!(read.output.as_deref(), Some("x"));
        assert!(uri("/opt/file").unwrap().extract);
        for wrong in [
            "file",
            "http://",
            "http://h/a,cache=2",
            "http://h/a,output=",
        ] {
            assert!(uri(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_published_port_is_the_nodes_and_then_the_tasks() {
        let read =
            |text: &str| publish(text).map(|one| (one.port, one.container_port, one.protocol));
        assert_eq!(read("0:80"), Ok((0, 80, "tcp")));
        assert_eq!(read("31000:53/udp"), Ok((31_000, 53, "udp")));
        assert_eq!(read("31000:80/tcp"), Ok((31_000, 80, "tcp")));
        for wrong in ["80", "0:0", "0:80/sctp", "x:80", ":80", "0:70000"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_volume_has_a_source_a_path_and_perhaps_a_mode() {
        let read = volume("/srv:/data:ro").unwrap();
        assert_eq!((&*read.source, &*read.path), ("/srv", "/data"));
        assert!(read.is_read_only);
        assert!(!volume("cache:/c").unwrap().is_read_only);
        for wrong in ["/srv", ":/data", "/srv:", "/srv:/data:rx", "a:b:ro:c"] {
            assert!(volume(wrong).is_err(), "{wrong}");
        }
    }
}
