//! `puffs-fuzz run TARGET FILE…` runs files through a target without
//! libFuzzer, and says what each does; `puffs-fuzz seeds DIR` writes the seeds
//! of every target.

use std::{env, fs, io, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["seeds", dir] => seeds(Path::new(dir)),
        ["run", target, ref files @ ..] => run(target, files),
        _ => {
            eprintln!("usage: puffs-fuzz run TARGET FILE… | puffs-fuzz seeds DIR");
            return ExitCode::FAILURE;
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn seeds(dir: &Path) -> io::Result<()> {
    for (target, _, seeds) in puffs_fuzz::TARGETS {
        let dir = dir.join(target);
        if dir.is_dir() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        for (name, bytes) in seeds() {
            fs::write(dir.join(name), bytes)?;
        }
    }
    Ok(())
}

/// Runs files, and every file of a directory.
fn run(target: &str, paths: &[&str]) -> io::Result<()> {
    let found = puffs_fuzz::TARGETS
        .iter()
        .find(|(name, ..)| *name == target);
    let Some((_, run, _)) = found else {
        return Err(io::Error::other(format!("there is no target {target}")));
    };
    let mut count = 0;
    for path in paths.iter().map(Path::new) {
        let mut files = Vec::new();
        if path.is_dir() {
            for entry in fs::read_dir(path)? {
                files.push(entry?.path());
            }
            files.sort();
        } else {
            files.push(path.to_owned());
        }
        for file in files {
            let bytes = match fs::read(&file) {
                // A fuzzer at work replaces files by shorter ones.
                Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_dir() => continue,
                bytes => bytes?,
            };
            // So that a crash names its input.
            if env::var_os("PUFFS_FUZZ_VERBOSE").is_some() {
                eprintln!("{}", file.display());
            }
            run(&bytes);
            count += 1;
        }
    }
    println!("{target}: {count} inputs");
    Ok(())
}
