//! `stockpipe-operator`.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use stockpipe_operator::check::{self, CheckArgs};
use stockpipe_operator::operator;
use stockpipe_operator::settings::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    if words.nth(1).is_some_and(|word| word == "check") {
        let program = std::ffi::OsString::from("stockpipe-operator check");
        return checked(&CheckArgs::parse_from(
            std::iter::once(program).chain(words),
        ));
    }
    let settings = match Args::parse().into_settings() {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("stockpipe-operator: {error}");
            return ExitCode::from(2);
        }
    };
    // Ignored: another provider can only have been installed by this same line.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tracing_subscriber::fmt()
        .with_env_filter(log_filter())
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("stockpipe-operator: cannot start its threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let shutdown = CancellationToken::new();
    let ended = runtime.block_on(async {
        tokio::spawn(stop_on_signal(shutdown.clone()));
        operator::run(settings, shutdown).await
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stockpipe-operator: {error}");
            // At once: a reconcile that is under way must not write any more.
            std::process::exit(1)
        }
    }
}

/// One line of what was found, and an exit code.
fn checked(args: &CheckArgs) -> ExitCode {
    // Ignored: another provider can only have been installed by this same line.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let found = match runtime {
        Ok(runtime) => runtime.block_on(check::run(args)),
        Err(error) => Err(format!("cannot start its thread: {error}")),
    };
    match found {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("stockpipe-operator check: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What `STOCKPIPE_LOG` says. The client logs each refusal a second time, and
/// without what was tried.
fn log_filter() -> tracing_subscriber::EnvFilter {
    let wanted = std::env::var("STOCKPIPE_LOG").unwrap_or_default();
    let wanted = if wanted.is_empty() { "info" } else { &wanted };
    tracing_subscriber::EnvFilter::try_new(format!("kube_client=off,kube_runtime=warn,{wanted}"))
        .unwrap_or_else(|_| "info,kube_client=off".into())
}

async fn stop_on_signal(shutdown: CancellationToken) {
    let (Ok(mut term), Ok(mut int)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    shutdown.cancel();
}
