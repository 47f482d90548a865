//! `restore manuals`: writes the man pages, and the completions for shells, from the description of the
//! command line that `--help` shows.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::command_line;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::help;
use crate::program;
use crate::shown::shown_name;

/// Write man pages, and completions for bash, zsh and fish, into a folder such as ~/.local/share
///
/// They lie in it as in /usr/share: man/man1, bash-completion/completions, zsh/site-functions and
/// fish/vendor_completions.d.
#[derive(Args, Debug)]
pub(crate) struct Manuals {
    /// The folder; it is made if it doesn't exist
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The name that the program will be called by [default: the name that it is called by now]
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    name: Option<String>,
}

fn parse_name(word: &str) -> Result<String, &'static str> {
    match program::is_name(word) {
        true => Ok(word.to_owned()),
        false => Err(
            "a name has letters, digits, '-', '_', '+' and '.', at most 64 of them, and doesn't begin \
             with '-' or '.'",
        ),
    }
}

pub(crate) fn run(manuals: &Manuals) -> Result<Exit, Failure> {
    let name = manuals.name.as_deref().unwrap_or(program::name());
    write_pages(&manuals.folder, name)
        .and_then(|()| write_completions(&manuals.folder, name))
        .map_err(|(path, error)| {
            let path = shown_name(path.as_os_str().as_bytes());
            Failure::target(format!("cannot write {path}"), &error)
        })?;
    Ok(Exit::Done)
}

fn write_completions(share: &Path, name: &str) -> Result<(), (PathBuf, io::Error)> {
    for (shell, file) in [
        (Shell::Bash, format!("bash-completion/completions/{name}")),
        (Shell::Zsh, format!("zsh/site-functions/_{name}")),
        (
            Shell::Fish,
            format!("fish/vendor_completions.d/{name}.fish"),
        ),
    ] {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command_line::named(name), name, &mut text);
        if shell == Shell::Bash {
            text = mend_for_bash(text, name);
        }
        write(&share.join(file), &text)?;
    }
    Ok(())
}

/// Completions for bash that know commands by the same names wherever they mention them. `clap_complete`
/// writes the hyphens of a program's name in two ways, so that nothing behind a command is completed
/// (issue 6421 of clap).
fn mend_for_bash(text: Vec<u8>, name: &str) -> Vec<u8> {
    const OF_COMMANDS: &str = "__subcmd__";
    let wrong = name.replace('-', OF_COMMANDS) + OF_COMMANDS;
    let right = name.replace('-', "__") + OF_COMMANDS;
    match String::from_utf8(text) {
        Ok(text) => text.replace(&wrong, &right).into_bytes(),
        Err(error) => error.into_bytes(),
    }
}

/// Writes the page of the program, and one of each of its commands.
fn write_pages(share: &Path, name: &str) -> Result<(), (PathBuf, io::Error)> {
    // The command `help` would get a page of its own for each of the others.
    let mut program = command_line::named(name).disable_help_subcommand(true);
    program.build();
    let folder = share.join("man/man1");
    let write_page = |name: &str, page: io::Result<Vec<u8>>| {
        let path = folder.join(format!("{name}.1"));
        match page {
            Ok(page) => write(&path, &page),
            Err(error) => Err((path, error)),
        }
    };
    write_page(name, program_page(&program, name))?;
    for command in program.get_subcommands().filter(|it| !it.is_hide_set()) {
        let mut page = Vec::new();
        let rendered = man(command, name).render(&mut page);
        let name = format!("{name}-{}", command.get_name());
        write_page(&name, rendered.map(|()| page))?;
    }
    Ok(())
}

fn man(command: &Command, program: &str) -> Man {
    let version = env!("CARGO_PKG_VERSION");
    Man::new(command.clone()).source(format!("{program} {version}"))
}

/// The page of the program. The sections that `--help` has behind the options are in columns, which a
/// page of `clap_mangen` would join to paragraphs.
fn program_page(program: &Command, name: &str) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let man = man(program, name);
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    man.render_subcommands_section(&mut page)?;
    for section in help::sections(name) {
        let (heading, lines) = section.split_once('\n').unwrap_or((&section, ""));
        let heading = heading.trim_end_matches(':').to_uppercase();
        write!(page, ".SH \"{heading}\"\n.nf\n{}.fi\n", unfilled(lines))?;
    }
    man.render_version_section(&mut page)?;
    Ok(page)
}

/// Lines for troff, which shows them as they are.
fn unfilled(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('\'', "\\(aq")
        .replace('`', "\\(ga");
    escaped.lines().map(|line| format!("\\&{line}\n")).collect()
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), (PathBuf, io::Error)> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, bytes))
        .map_err(|error| (path.to_owned(), error))
}
