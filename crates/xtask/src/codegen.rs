//! Codegen: writes `crates/api/src/generated/` from the .proto files of `crates/api/proto/`.
//!
//! protox compiles, prost-build writes the messages, tonic-prost-build the link's client and server,
//! and this module the static tables that drive required-field checks and Mesos' JSON.
//! The output is committed; `--check` compares it with what would be written.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use heck::{ToSnakeCase, ToUpperCamelCase};
use prost_build::Module;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
};

/// The roots; what they import comes along.
const ROOTS: [&str; 7] = [
    "mesos/v1/scheduler/scheduler.proto",
    "mesos/v1/executor/executor.proto",
    "mesos/v1/master/master.proto",
    "mesos/v1/agent/agent.proto",
    "mesos/v1/allocator/allocator.proto",
    "tepui/link/v1/link.proto",
    "tepui/scheduler/v1/scheduler.proto",
];

/// The package that needs no tables: its messages are ours on both ends, and never JSON.
const UNDESCRIBED_PACKAGE: &str = "tepui.link.v1";

/// Messages whose empty lists Mesos shows as `[]` and does not leave out, deprecated ones apart
/// (recordings of GET_TASKS and the like).
const EMPTY_LISTS_SHOWN: [&str; 7] = [
    "mesos.v1.agent.Response.GetExecutors",
    "mesos.v1.agent.Response.GetFrameworks",
    "mesos.v1.agent.Response.GetTasks",
    "mesos.v1.master.Response.GetAgents",
    "mesos.v1.master.Response.GetExecutors",
    "mesos.v1.master.Response.GetFrameworks",
    "mesos.v1.master.Response.GetTasks",
];

/// A message has at most as many fields as a required-field mask has bits.
const FIELDS_MAX: usize = 128;

/// What to do with what was generated.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only compare the committed files with what would be written.
    #[arg(long)]
    pub(crate) check: bool,
}

/// Writes the generated code, or compares it with the committed files.
///
/// # Errors
/// A .proto file does not compile, a file cannot be read or written, or a committed file differs.
pub(crate) fn run(args: &Args) -> Result<()> {
    let api = Path::new(env!("CARGO_MANIFEST_DIR")).join("../api");
    let wanted = generate(&api.join("proto"))?;
    let folder = api.join("src/generated");
    let stale = stale_files(&folder, &wanted)?;
    if args.check {
        let differing: Vec<_> = wanted
            .iter()
            .filter(|(name, text)| {
                fs::read_to_string(folder.join(name)).ok().as_ref() != Some(text)
            })
            .map(|(name, _)| name.clone())
            .chain(stale)
            .collect();
        ensure!(
            differing.is_empty(),
            "crates/api/src/generated differs from the .proto files in {}: run `cargo xtask codegen`",
            differing.join(", ")
        );
        return Ok(());
    }
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    for name in stale {
        fs::remove_file(folder.join(&name)).with_context(|| format!("remove {name}"))?;
    }
    for (name, text) in &wanted {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// Files in the folder that no .proto file accounts for.
fn stale_files(folder: &Path, wanted: &BTreeMap<String, String>) -> Result<Vec<String>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut stale = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !wanted.contains_key(&name) {
            stale.push(name);
        }
    }
    Ok(stale)
}

/// Every generated file with its text.
fn generate(proto: &Path) -> Result<BTreeMap<String, String>> {
    let mut files = protox::compile(ROOTS.map(PathBuf::from), [proto])
        .context("compile the .proto files")?
        .file;
    let tables = Tables::new(&files)?.write();
    files.iter_mut().for_each(forget_deprecation);

    let mut config = prost_build::Config::new();
    config.compile_well_known_types();
    config.btree_map(["."]);
    config.format(false);
    config.service_generator(
        tonic_prost_build::configure()
            .build_transport(false)
            .codec_path("crate::link_codec::LinkCodec")
            .service_generator(),
    );
    let requests = files
        .into_iter()
        .map(|file| (Module::from_protobuf_package_name(file.package()), file))
        .collect();
    let modules = config.generate(requests).context("generate the messages")?;

    let mut out = BTreeMap::new();
    let mut tree = ModuleTree::default();
    for (module, text) in modules {
        let parts: Vec<String> = module.parts().map(str::to_string).collect();
        let name = format!("{}.rs", parts.join("."));
        tree.insert(&parts, &name);
        out.insert(name, rustfmt(&text)?);
    }
    out.insert("tables.rs".to_string(), rustfmt(&tables)?);
    let mut text = String::from(
        "// Written by `cargo xtask codegen`; change the .proto files instead.\npub mod tables;\n",
    );
    tree.write(&mut text);
    out.insert("mod.rs".to_string(), rustfmt(&text)?);
    Ok(out)
}

/// Deprecation in Mesos is advice to frameworks; whoever serves them uses those fields every day.
fn forget_deprecation(file: &mut FileDescriptorProto) {
    fn message(of: &mut DescriptorProto) {
        of.field.iter_mut().for_each(|field| field.options = None);
        of.enum_type.iter_mut().for_each(values);
        // A map's entry is told by its options, so these stay.
        of.nested_type.iter_mut().for_each(message);
    }
    fn values(of: &mut EnumDescriptorProto) {
        of.value.iter_mut().for_each(|value| value.options = None);
    }
    file.message_type.iter_mut().for_each(message);
    file.enum_type.iter_mut().for_each(values);
}

/// The nesting of packages, as modules that include the generated files.
#[derive(Default)]
struct ModuleTree {
    file: Option<String>,
    children: BTreeMap<String, ModuleTree>,
}

impl ModuleTree {
    fn insert(&mut self, parts: &[String], file: &str) {
        match parts.split_first() {
            None => self.file = Some(file.to_string()),
            Some((first, rest)) => self
                .children
                .entry(first.clone())
                .or_default()
                .insert(rest, file),
        }
    }

    fn write(&self, out: &mut String) {
        if let Some(file) = &self.file {
            let _ = writeln!(out, "include!({file:?});");
        }
        for (name, child) in &self.children {
            let _ = writeln!(out, "pub mod {name} {{");
            child.write(out);
            out.push_str("}\n");
        }
    }
}

/// The text as rustfmt of the pinned toolchain writes it.
fn rustfmt(text: &str) -> Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--emit", "stdout", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start rustfmt")?;
    let mut input = child.stdin.take().context("rustfmt has no input")?;
    let output = std::thread::scope(|scope| {
        // rustfmt reads everything before it writes, but a pipe that fills must not depend on that.
        scope.spawn(move || input.write_all(text.as_bytes()));
        child.wait_with_output()
    })
    .context("wait for rustfmt")?;
    if !output.status.success() {
        bail!("rustfmt ended with {}", output.status);
    }
    String::from_utf8(output.stdout).context("rustfmt wrote no UTF-8")
}

/// The messages and enums that get tables, sorted by full name; a position there is the index that
/// the tables use.
struct Tables {
    messages: BTreeMap<String, Message>,
    enums: BTreeMap<String, EnumDescriptorProto>,
}

struct Message {
    descriptor: DescriptorProto,
    rust_path: String,
}

impl Tables {
    fn new(files: &[FileDescriptorProto]) -> Result<Self> {
        let mut tables = Self {
            messages: BTreeMap::new(),
            enums: BTreeMap::new(),
        };
        for file in files {
            let package = file.package();
            if package == UNDESCRIBED_PACKAGE {
                continue;
            }
            let module = package.replace('.', "::");
            for of in &file.enum_type {
                let name = format!("{package}.{}", of.name());
                tables.enums.insert(name, of.clone());
            }
            for of in &file.message_type {
                tables.insert(package, &module, of)?;
            }
        }
        Ok(tables)
    }

    fn insert(&mut self, scope: &str, module: &str, of: &DescriptorProto) -> Result<()> {
        let name = format!("{scope}.{}", of.name());
        ensure!(
            of.field.len() <= FIELDS_MAX,
            "{name} has more than {FIELDS_MAX} fields"
        );
        // As prost-build names them (its `ident` module).
        let rust_path = format!("{module}::{}", of.name().to_upper_camel_case());
        let inner = format!("{module}::{}", of.name().to_snake_case());
        for nested in &of.nested_type {
            self.insert(&name, &inner, nested)?;
        }
        for nested in &of.enum_type {
            let nested_name = format!("{name}.{}", nested.name());
            self.enums.insert(nested_name, nested.clone());
        }
        let descriptor = of.clone();
        self.messages.insert(
            name,
            Message {
                descriptor,
                rust_path,
            },
        );
        Ok(())
    }

    fn write(&self) -> String {
        let mut out = String::from(
            "// Written by `cargo xtask codegen`; change the .proto files instead.\n\
             use crate::descriptor::{Enum, Field, Kind::*, Message, described};\n\n",
        );
        out.push_str("pub static MESSAGES: &[Message] = &[\n");
        for (name, message) in &self.messages {
            self.write_message(&mut out, name, &message.descriptor);
        }
        out.push_str("];\n\npub static ENUMS: &[Enum] = &[\n");
        for (name, of) in &self.enums {
            let _ = write!(out, "Enum {{ name: {name:?}, values: &[");
            for value in &of.value {
                let _ = write!(out, "({}, {:?}),", value.number(), value.name());
            }
            out.push_str("] },\n");
        }
        out.push_str("];\n\ndescribed! {\n");
        for (index, message) in self.messages.values().enumerate() {
            // A map's entry has no struct of its own.
            if !is_map_entry(&message.descriptor) {
                let _ = writeln!(out, "{index} {},", message.rust_path);
            }
        }
        out.push_str("}\n");
        out
    }

    fn write_message(&self, out: &mut String, name: &str, of: &DescriptorProto) {
        let required = of
            .field
            .iter()
            .enumerate()
            .filter(|(_, field)| field.label() == Label::Required)
            .fold(0u128, |mask, (index, _)| mask | (1 << index));
        let _ = write!(
            out,
            "Message {{ name: {name:?}, map_entry: {}, required: {required:#x}, fields: &[",
            is_map_entry(of)
        );
        for field in &of.field {
            let label = match field.label() {
                Label::Optional => "optional",
                Label::Required => "required",
                Label::Repeated => "repeated",
            };
            let _ = write!(
                out,
                "Field::{label}({}, {:?}, {})",
                field.number(),
                field.name(),
                self.kind(field)
            );
            if let Some(shown) = shown_when_unset(name, field) {
                let _ = write!(out, ".or({shown:?})");
            }
            out.push(',');
        }
        out.push_str("] },\n");
    }

    fn kind(&self, field: &FieldDescriptorProto) -> String {
        let name = field.type_name().trim_start_matches('.');
        let kind = match field.r#type() {
            Type::Double => "Double",
            Type::Float => "Float",
            Type::Int64 => "Int64",
            Type::Uint64 => "Uint64",
            Type::Int32 => "Int32",
            Type::Fixed64 => "Fixed64",
            Type::Fixed32 => "Fixed32",
            Type::Bool => "Bool",
            Type::String => "String",
            Type::Bytes => "Bytes",
            Type::Uint32 => "Uint32",
            Type::Sfixed32 => "Sfixed32",
            Type::Sfixed64 => "Sfixed64",
            Type::Sint32 => "Sint32",
            Type::Sint64 => "Sint64",
            Type::Enum => return format!("Enum({})", position(&self.enums, name)),
            Type::Message | Type::Group => {
                return format!("Message({})", position(&self.messages, name));
            }
        };
        kind.to_string()
    }
}

fn is_map_entry(of: &DescriptorProto) -> bool {
    of.options.as_ref().is_some_and(|o| o.map_entry())
}

/// A name's place in the sorted tables; protox has resolved every name.
fn position<T>(sorted: &BTreeMap<String, T>, name: &str) -> usize {
    sorted.keys().take_while(|key| key.as_str() < name).count()
}

/// What Mesos' JSON has where the field is unset, if anything: its default or an empty list, and
/// nothing for a deprecated field.
fn shown_when_unset(message: &str, field: &FieldDescriptorProto) -> Option<String> {
    if field.options.as_ref().is_some_and(|o| o.deprecated()) {
        return None;
    }
    if field.label() == Label::Repeated {
        return EMPTY_LISTS_SHOWN
            .contains(&message)
            .then(|| "[]".to_string());
    }
    let default = field.default_value.as_ref()?;
    Some(match field.r#type() {
        Type::String | Type::Enum => format!("\"{default}\""),
        Type::Double | Type::Float if !default.contains('.') => format!("{default}.0"),
        _ => default.clone(),
    })
}
