//! Args: the command line of `tepui`, read by clap into values that later code need not check.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::client::master::Master;

pub(crate) mod container;
use container::{ContainerArgs, HealthArgs};

/// Runs and watches tasks on a Tepui or Mesos cluster.
#[derive(Parser)]
#[command(name = "tepui", version, disable_help_subcommand = true)]
#[command(after_help = "\
The master is the one given with --master or in TEPUI_MASTER; else the one of the cluster that
./qemu/up started in this checkout (target/cluster/cluster.json).

Exit codes: 0 done, 1 not done, 2 bad command line. `tepui run`, `tepui pod run` and `tepui exec`
end with the exit code of what they ran, 128+n where signal n ended it, 130 after Ctrl-C, 125 where nothing ran,
and 75 where `tepui exec` ended since the node's agent was upgraded or executed again meanwhile.")]
pub(crate) struct Cli {
    /// A master, several with commas between them, or where it is elected: zk://HOST:PORT,.../PATH.
    #[arg(
        long,
        global = true,
        env = "TEPUI_MASTER",
        value_name = "HOST:PORT",
        hide_env_values = true
    )]
    pub(crate) master: Option<Master>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run a command on the cluster, with its output and exit code here.
    Run(RunArgs),
    /// Run tasks that belong together.
    #[command(subcommand)]
    Pod(PodCommand),
    /// List the nodes.
    Nodes(ListArgs),
    /// List the tasks that are not over, of all frameworks.
    Tasks(TasksArgs),
    /// Print a task's standard output.
    Logs(LogsArgs),
    /// Show what the running tasks use, the busiest first.
    Top(TopArgs),
    /// Copy files out of the sandbox of a task.
    Cp(CpArgs),
    /// Run a command in the container of a task.
    Exec(ExecArgs),
    /// Tell what a task runs under: what of it is in force, what is not and why, and how exposed it is.
    Explain(ExplainArgs),
    /// Kill a task that `tepui run` started, and end its framework.
    Kill(TaskArgs),
    /// Have a node's agent execute another build of itself, with all that runs on the node.
    Upgrade(UpgradeArgs),
    /// Print the public half of the key that upgrades are signed with, and make the key first where there is none.
    Key(KeyArgs),
    /// Print the versions of this program and of the master.
    Version(ListArgs),
}

/// A task of `tepui run`.
#[derive(Args)]
#[command(after_help = "\
One CMD is a line for the shell (`sh -c`) of the task; several words are executed as they are,
without a shell. So these two differ:
  tepui run -- 'echo $HOME; exit 7'      the task's shell reads the line
  tepui run -- echo '$HOME; exit 7'      echo gets the text as it stands
A server in an image, on a port of the node:
  tepui run -d --image redis:7 --port 31001 --health-tcp -- 'redis-server --port $PORT0'")]
pub(crate) struct RunArgs {
    /// Name of the task; its id is the name and eight random digits.
    #[arg(long, default_value = "run")]
    pub(crate) name: String,
    /// Processors, in parts of a thousandth.
    #[arg(long, value_name = "N", default_value = "0.1", value_parser = positive)]
    pub(crate) cpus: f64,
    /// Memory, in MB, or with a unit as in 2GB.
    #[arg(long, value_name = "MB", default_value = "64", value_parser = megabytes)]
    pub(crate) mem: f64,
    /// Disk, in MB, or with a unit as in 2GB.
    #[arg(long, value_name = "MB", value_parser = megabytes)]
    pub(crate) disk: Option<f64>,
    /// A variable of the task's environment; may be given again.
    #[arg(long = "env", short = 'e', value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) env: Vec<(String, String)>,
    /// Role whose resources are used.
    #[arg(long, default_value = "*")]
    pub(crate) role: String,
    /// User that the task runs as, in its own root.
    #[arg(long, default_value = "root")]
    pub(crate) user: String,
    /// Execute a single CMD as it is, without a shell.
    #[arg(long)]
    pub(crate) no_shell: bool,
    /// Leave the task running, and print its id.
    #[arg(long, short = 'd')]
    pub(crate) detach: bool,
    /// With --detach: print the ids as JSON.
    #[arg(long, requires = "detach")]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) container: ContainerArgs,
    #[command(flatten)]
    pub(crate) health: HealthArgs,
    /// The command, after `--`.
    #[arg(
        required_unless_present_any = ["image", "appc"],
        trailing_var_arg = true,
        value_name = "CMD"
    )]
    pub(crate) command: Vec<String>,
}

/// What to do with a pod.
#[derive(Subcommand)]
pub(crate) enum PodCommand {
    /// Run the tasks of a file on one node, with their output and the exit code of the first that
    /// fails here; when one fails, the others are killed.
    Run(PodRunArgs),
}

/// A pod of `tepui pod run`.
#[derive(Args)]
#[command(after_help = "\
FILE holds JSON, as in
  {\"name\": \"web\", \"tasks\": [
    {\"name\": \"server\", \"image\": \"redis:7\", \"ports\": [0], \"command\": \"redis-server --port $PORT0\",
     \"health_check\": {\"type\": \"TCP\", \"tcp\": {\"port\": 31000}}},
    {\"name\": \"beside\", \"cpus\": 0.1, \"mem\": 32, \"command\": [\"sleep\", \"1000\"], \"env\": {\"A\": \"1\"}}]}
A task may hold every field of Mesos' TaskInfo but those that come of an offer, and \"executor\" those of
its ExecutorInfo: a \"container\" there has the network and the volumes that all share.")]
pub(crate) struct PodRunArgs {
    /// The file; - is standard input.
    pub(crate) file: PathBuf,
    /// Role whose resources are used.
    #[arg(long, default_value = "*")]
    pub(crate) role: String,
    /// User that the tasks run as, in their own roots.
    #[arg(long, default_value = "root")]
    pub(crate) user: String,
    /// Leave the tasks running, and print their ids.
    #[arg(long, short = 'd')]
    pub(crate) detach: bool,
}

/// A list.
#[derive(Args)]
pub(crate) struct ListArgs {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A list of tasks.
#[derive(Args)]
pub(crate) struct TasksArgs {
    /// List tasks that are over too.
    #[arg(long, short = 'a')]
    pub(crate) all: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A task by its id.
#[derive(Args)]
pub(crate) struct TaskArgs {
    /// The task's id, as `tepui tasks` shows it, or its name where one task has it.
    pub(crate) task: String,
    /// The framework's id, where two frameworks have a task of this id.
    #[arg(long, value_name = "ID")]
    pub(crate) framework: Option<String>,
}

/// What a task runs under.
#[derive(Args)]
#[command(after_help = "\
A row is enforced, degraded (planned, and not given by this node's kernel), shared with the container
that it is nested in, or open. The exposure is what is open of the weights of all rows: 0 is nothing,
10 everything. The agent still knows the tasks that ended last.")]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) task: TaskArgs,
    /// Print the agent's whole answer.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Another build of a node's agent.
#[derive(Args)]
#[command(after_help = "\
The node has to know the key: its agent was started with --upgrade_keys (tepui.upgrade_keys on the kernel's
command line), which takes what `tepui key FILE` prints. The agent checks the program first, as a child, and
refuses one that could not go on from where it is. One that fails before it is registered is followed by the
one before it. Commands of `tepui exec` on the node end (exit code 75), and so do checks by commands that are
under way.

An upgrade lasts until the machine starts again: then it is the program of its image that runs. To keep it, make
the image anew, too.")]
pub(crate) struct UpgradeArgs {
    /// The node's name, as `tepui nodes` shows it, or the id of its agent.
    pub(crate) node: String,
    /// The program: a static `tepui-agent` for the node's architecture.
    pub(crate) program: PathBuf,
    /// The file of the private key.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// Do it though tasks of the node have a terminal, which they lose: they get SIGHUP.
    #[arg(long)]
    pub(crate) force: bool,
}

/// A key.
#[derive(Args)]
pub(crate) struct KeyArgs {
    /// The file of the private key.
    pub(crate) file: PathBuf,
}

/// The output of a task.
#[derive(Args)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    pub(crate) task: TaskArgs,
    /// Go on until the task is over.
    #[arg(long, short = 'f')]
    pub(crate) follow: bool,
    /// Print standard error instead.
    #[arg(long)]
    pub(crate) stderr: bool,
}

/// What tasks use.
#[derive(Args)]
pub(crate) struct TopArgs {
    /// Seconds between two looks.
    #[arg(long, short = 'd', value_name = "S", default_value = "2", value_parser = interval)]
    pub(crate) interval: f64,
    /// Show it once, as happens where standard output is no terminal.
    #[arg(long)]
    pub(crate) once: bool,
    /// Print JSON, once.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Files of a task.
#[derive(Args)]
#[command(after_help = "\
A path of a task is beneath its sandbox (/mnt/mesos/sandbox); one of this machine that holds a colon
begins with ./ or /. A folder is copied with all that is in it, links and devices left out.
  tepui cp web-1:stdout .
  tepui cp web-1:logs ./logs-of-web")]
pub(crate) struct CpArgs {
    /// What to copy.
    #[arg(value_name = "TASK:PATH", value_parser = Remote::read)]
    pub(crate) from: Remote,
    /// Where: a folder that is there, or a new name.
    #[arg(value_name = "TO", value_parser = Remote::read)]
    pub(crate) to: Remote,
    /// The framework's id, where two frameworks have a task of this id.
    #[arg(long, value_name = "ID")]
    pub(crate) framework: Option<String>,
}

/// A path of this machine, or of a task.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    pub(crate) task: Option<String>,
    pub(crate) path: String,
}

/// A command in a task's container.
#[derive(Args)]
#[command(after_help = "\
CMD is executed as it stands, without a shell, and ends when this program does:
  tepui exec -it web-1 sh                  a shell
  tepui exec web-1 sh -c 'ls /tmp | wc'    a line for the shell")]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    pub(crate) task: TaskArgs,
    /// Hand standard input on to the command.
    #[arg(long, short = 'i')]
    pub(crate) interactive: bool,
    /// Give the command a terminal.
    #[arg(long, short = 't')]
    pub(crate) tty: bool,
    /// A variable of the command's environment; may be given again.
    #[arg(long = "env", short = 'e', value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) env: Vec<(String, String)>,
    /// User that the command runs as; the task's own where none is given.
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// The command.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "CMD"
    )]
    pub(crate) command: Vec<String>,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        // A thousandth is the smallest part of a resource; the upper bound keeps it an integer.
        Ok(number) if (0.001..=1e9).contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err("must be a number of at least 0.001".to_owned()),
    }
}

fn interval(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.1..=3600.0).contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err("must be a number of seconds from 0.1 to 3600".to_owned()),
    }
}

fn megabytes(text: &str) -> Result<f64, String> {
    let at = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let factor = match unit {
        "" | "MB" => 1.0,
        "GB" => 1024.0,
        "TB" => 1024.0 * 1024.0,
        _ => return Err(format!("{unit:?} is none of the units MB, GB, TB")),
    };
    positive(number).map(|number| number * factor)
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("must have the form NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn memory_is_read_in_megabytes_and_with_units() {
        for (text, megabyte) in [
            ("64", Some(64.0)),
            ("0.5GB", Some(512.0)),
            ("1TB", Some(1_048_576.0)),
            ("0", None),
            ("-1", None),
            ("NaN", None),
            ("64KB", None),
            ("GB", None),
        ] {
            assert_eq!(megabytes(text).ok(), megabyte, "{text}");
        }
    }
}
