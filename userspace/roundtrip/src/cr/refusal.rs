// SPDX-License-Identifier: GPL-2.0

//! What a refusal must look like, and what it must leave alone.

use std::os::fd::AsRawFd;

use anyhow::{Context, Result, bail, ensure};
use inetcr::table::AttributePath;
use inetcr::{Client, Error, KernelError, Selector};

use super::{Dump, dump_by, open_files, restore};
use crate::observe::{observe, same};
use crate::sys::errno_name;

/// What a refusal must look like.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    /// Any of these error numbers.
    pub errno: &'a [i32],
    /// The attribute that is to blame, or that is missing, or the nest that it is in.
    pub attribute: Option<u16>,
    /// The same with the nests that it is in, outermost first: any of these.
    pub paths: &'a [&'a [u16]],
    /// A word of the message.
    pub word: &'a str,
}

impl<'a> Expected<'a> {
    pub fn errno(errno: &'a [i32]) -> Self {
        Self {
            errno,
            attribute: None,
            paths: &[],
            word: "",
        }
    }

    pub fn attribute(mut self, number: u16) -> Self {
        self.attribute = Some(number);
        self
    }

    pub fn paths(mut self, paths: &'a [&'a [u16]]) -> Self {
        self.paths = paths;
        self
    }

    pub fn word(mut self, word: &'a str) -> Self {
        self.word = word;
        self
    }
}

/// Fails unless the kernel refused, for the reason expected and with words.
pub fn refused<T>(result: Result<T, Error>, expected: Expected<'_>) -> Result<KernelError> {
    let error = match result {
        Ok(_) => bail!("the kernel did not refuse"),
        Err(Error::Kernel(error)) => error,
        Err(other) => return Err(other).context("not a refusal of the kernel"),
    };
    let names: Vec<_> = expected.errno.iter().map(|e| errno_name(*e)).collect();
    ensure!(
        expected.errno.contains(&error.errno),
        "expected {}, got: {error}",
        names.join(" or ")
    );
    let message = error.message.clone().unwrap_or_default();
    ensure!(!message.is_empty(), "no extack message with: {error}");
    ensure!(
        message
            .to_lowercase()
            .contains(&expected.word.to_lowercase()),
        "the message does not say {:?}: {error}",
        expected.word
    );
    let blamed = error.attribute.as_ref().or(error.missing.as_ref());
    if !expected.paths.is_empty() {
        let path = blamed.map(AttributePath::numbers);
        ensure!(
            path.is_some_and(|path| expected.paths.contains(&path)),
            "none of {:?} is blamed: {error}",
            expected.paths
        );
    }
    if let Some(number) = expected.attribute {
        let outermost = blamed.and_then(|path| path.numbers().first().copied());
        ensure!(
            outermost == Some(number),
            "attribute {number} is not blamed: {error}"
        );
    }
    Ok(*error)
}

/// Asks for a restore that must be refused, and sees that nothing was made.
pub fn restore_refused(client: &mut Client, dump: &Dump, expected: Expected<'_>) -> Result<()> {
    let files = open_files();
    let result = restore(client, dump);
    refused(result, expected)?;
    ensure!(open_files() == files, "the refusal left a descriptor");
    Ok(())
}

/// Asks for a dump that must be refused, and sees that the socket did not
/// change.
pub fn dump_refused(
    client: &mut Client,
    fd: &impl AsRawFd,
    expected: Expected<'_>,
) -> Result<KernelError> {
    let before = observe(fd);
    let result = dump_by(client, Selector::Fd(fd.as_raw_fd()).into());
    let error = refused(result, expected)?;
    same("the refusal changed the socket", &before, &observe(fd))?;
    Ok(error)
}
