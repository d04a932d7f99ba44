// SPDX-License-Identifier: GPL-2.0

//! A dump, and how to spoil it.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use inetcr::RawAttr;
use inetcr::table::{AttributeInfo, AttributePath, Kind, SOCKET, lookup};

use super::attr;

/// A dumped socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dump(pub Vec<RawAttr>);

impl Dump {
    /// Payload of an attribute.
    pub fn get(&self, number: u16) -> Option<&[u8]> {
        let attr = self.0.iter().find(|attr| attr.number() == number)?;
        Some(&attr.payload)
    }

    /// An attribute of type `u32`.
    pub fn u32(&self, number: u16) -> Option<u32> {
        self.get(number)?.try_into().ok().map(u32::from_ne_bytes)
    }

    /// An attribute of type `uint`.
    pub fn uint(&self, number: u16) -> Option<u64> {
        let payload = self.get(number)?;
        match payload.len() {
            4 => self.u32(number).map(u64::from),
            _ => payload.try_into().ok().map(u64::from_ne_bytes),
        }
    }

    /// Payload of the attribute at the end of a path of numbers, outermost first.
    pub fn at(&self, path: &[u16]) -> Option<Vec<u8>> {
        let (first, rest) = path.split_first()?;
        let attr = self.0.iter().find(|attr| attr.number() == *first)?;
        if rest.is_empty() {
            return Some(attr.payload.clone());
        }
        Self(attr.children().ok()?).at(rest)
    }

    /// An attribute of type `u32` in nests.
    pub fn u32_at(&self, path: &[u16]) -> Option<u32> {
        self.at(path)?.try_into().ok().map(u32::from_ne_bytes)
    }

    /// Without an attribute.
    #[must_use]
    pub fn without(mut self, number: u16) -> Self {
        self.0.retain(|attr| attr.number() != number);
        self
    }

    /// With an attribute in the place of the one of that number, or at the end.
    #[must_use]
    pub fn with(mut self, new: RawAttr) -> Self {
        let old = self.0.iter_mut().find(|attr| attr.number() == new.number());
        match old {
            Some(old) => *old = new,
            None => self.0.push(new),
        }
        self
    }

    /// Without the attribute at the end of a path.
    #[must_use]
    pub fn without_at(self, path: &[u16]) -> Self {
        self.changed(path, Self::without)
    }

    /// With an attribute in nests, each of which is made if it is not there.
    #[must_use]
    pub fn with_at(self, nests: &[u16], new: RawAttr) -> Self {
        let path = [nests, &[new.number()]].concat();
        self.changed(&path, |inner, _| inner.with(new))
    }

    /// With one more attribute at the end of nests.
    #[must_use]
    pub fn adding_at(self, nests: &[u16], new: RawAttr) -> Self {
        let path = [nests, &[new.number()]].concat();
        self.changed(&path, |mut inner, _| {
            inner.0.push(new);
            inner
        })
    }

    /// Changes the set that the last number of a path belongs to.
    fn changed(self, path: &[u16], change: impl FnOnce(Self, u16) -> Self) -> Self {
        match path {
            [] => self,
            [number] => change(self, *number),
            [first, rest @ ..] => {
                let inner = self.0.iter().find(|attr| attr.number() == *first);
                let inner = inner.and_then(|attr| attr.children().ok());
                let inner = Self(inner.unwrap_or_default()).changed(rest, change);
                self.with(RawAttr::nested(*first, &inner.0))
            }
        }
    }

    /// Every attribute that is no nest, by its path.
    fn flat(&self) -> BTreeMap<Vec<u16>, Vec<u8>> {
        let mut found = BTreeMap::new();
        flatten(&self.0, SOCKET, &[], &mut found);
        found
    }
}

fn flatten(
    attrs: &[RawAttr],
    table: &'static [AttributeInfo],
    nests: &[u16],
    found: &mut BTreeMap<Vec<u16>, Vec<u8>>,
) {
    for attr in attrs {
        let path = [nests, &[attr.number()]].concat();
        let kind = lookup(table, attr.number()).map(|row| row.kind);
        match (kind, attr.children()) {
            (Some(Kind::Nest(_, table)), Ok(inner)) => flatten(&inner, table, &path, found),
            _ => {
                found.insert(path, attr.payload.clone());
            }
        }
    }
}

/// Fails unless two dumps are equal but for identity.
pub fn same_dump(original: &Dump, copy: &Dump) -> Result<()> {
    let identity = [attr::INODE, attr::COOKIE, attr::SOCK_FD];
    let (left, right) = (original.flat(), copy.flat());
    let mut paths: Vec<_> = left.keys().chain(right.keys()).collect();
    paths.sort_unstable();
    paths.dedup();
    let difference: Vec<_> = paths
        .into_iter()
        .filter(|path| !identity.contains(&path[0]) && left.get(*path) != right.get(*path))
        .map(|path| {
            let name = AttributePath::new(path);
            let (left, right) = (left.get(path), right.get(path));
            format!("{name}: {left:02x?} != {right:02x?}")
        })
        .collect();
    ensure!(
        difference.is_empty(),
        "dump of the original != dump of the copy:\n  {}",
        difference.join("\n  ")
    );
    Ok(())
}
