//! The command line: what can be asked for, one command a file, and what each failure exits with.

mod check_config;
mod frames;
mod hub;
mod publish;
mod serve;
mod subscribe;
mod terminal;
mod token;

use std::io;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::config::ConfigError;

/// What a bad command line and a bad configuration exit with (EX_USAGE of sysexits.h).
const EXIT_USAGE: u8 = 64;

/// A realtime hub: clients over WebSocket, SSE and long poll, services over gRPC
///
/// Without a command it serves; without a configuration file it serves in development mode, on this machine only, with
/// everything printed that one needs to try it.
#[derive(Debug, Parser)]
#[command(
    name = "switchboard",
    bin_name = "switchboard",
    version,
    args_conflicts_with_subcommands = true,
    max_term_width = 110,
    after_help = "Exit status: 0 done, 1 failed, 64 bad command line or configuration, 130 and 143 stopped at once by a second signal."
)]
struct Cli {
    #[command(flatten)]
    serve: serve::Serve,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the hub (the default)
    Serve(serve::Serve),
    /// Issue a token for a client
    Token(token::Token),
    /// Check a configuration, and show what is in effect; or explain options
    CheckConfig(check_config::CheckConfig),
    /// Publish JSON to a channel, over gRPC
    Publish(publish::PublishArgs),
    /// Subscribe to channels and print what comes
    Subscribe(subscribe::Subscribe),
    /// Print the version
    Version,
}

/// Does what the command line asks for.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let failed = error.use_stderr();
            drop(error.print());
            return if failed {
                ExitCode::from(EXIT_USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match dispatch(cli) {
        Ok(code) => code,
        // `switchboard subscribe ... | head` has had enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::note(format_args!("switchboard: {error:#}"));
            if error.is::<ConfigError>() {
                ExitCode::from(EXIT_USAGE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn dispatch(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        None => cli.serve.run(),
        Some(Command::Serve(serve)) => serve.run(),
        Some(Command::CheckConfig(check)) => check.run(),
        Some(Command::Token(token)) => asynchronous(token.run()),
        Some(Command::Publish(publish)) => asynchronous(publish.run()),
        Some(Command::Subscribe(subscribe)) => asynchronous(subscribe.run()),
        Some(Command::Version) => {
            terminal::line(format_args!("switchboard {}", env!("CARGO_PKG_VERSION")))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// A tool that waits for a network needs one thread.
fn asynchronous(work: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_names_every_command_and_its_exit_statuses() {
        let help = Cli::command().render_long_help().to_string();
        for word in [
            "serve",
            "token",
            "check-config",
            "publish",
            "subscribe",
            "version",
            "--config",
            "64 bad command line",
        ] {
            assert!(help.contains(word), "{word} is not in:\n{help}");
        }
    }

    #[test]
    fn every_option_of_every_command_is_explained() {
        for command in Cli::command().get_subcommands() {
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{} {}",
                    command.get_name(),
                    argument.get_id()
                );
            }
        }
    }

    #[test]
    fn commands_are_read() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        assert!(parse("switchboard").unwrap().command.is_none());
        assert!(
            parse("switchboard --clients-listen 127.0.0.1:0")
                .unwrap()
                .command
                .is_none()
        );
        assert!(matches!(
            parse("switchboard publish demo:lobby {}").unwrap().command,
            Some(Command::Publish(_))
        ));
        assert!(matches!(
            parse("switchboard subscribe a b --transport sse --json")
                .unwrap()
                .command,
            Some(Command::Subscribe(_))
        ));
        for bad in [
            "switchboard subscribe",
            "switchboard publish demo:lobby",
            "switchboard subscribe a --transport pigeon",
            "switchboard serv",
            "switchboard --config a serve",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
