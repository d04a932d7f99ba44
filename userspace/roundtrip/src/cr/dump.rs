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
    /// Payload of an attribute; of one that comes several times, of the first.
    pub fn get(&self, number: u16) -> Option<&[u8]> {
        let attr = self.0.iter().find(|attr| attr.number() == number)?;
        Some(&attr.payload)
    }

    /// All attributes of a number, in their order.
    pub fn all(&self, number: u16) -> Vec<RawAttr> {
        let attrs = self.0.iter().filter(|attr| attr.number() == number);
        attrs.cloned().collect()
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

    /// Payload of the attribute at the end of a path of numbers, outermost first. Of what comes
    /// several times, the first is looked at.
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

    /// Without an attribute, however often it comes.
    #[must_use]
    pub fn without(mut self, number: u16) -> Self {
        self.0.retain(|attr| attr.number() != number);
        self
    }

    /// With an attribute in the place of all of that number, or at the end.
    #[must_use]
    pub fn with(self, new: RawAttr) -> Self {
        self.with_all(new.number(), vec![new])
    }

    /// With attributes in the place of all of a number, or at the end.
    #[must_use]
    pub fn with_all(mut self, number: u16, new: Vec<RawAttr>) -> Self {
        let first = self.0.iter().position(|attr| attr.number() == number);
        self = self.without(number);
        let at = first.unwrap_or(self.0.len());
        self.0.splice(at..at, new);
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

    /// Changes the set that the last number of a path belongs to. Of nests that come several times,
    /// the first is changed and the others stay.
    fn changed(self, path: &[u16], change: impl FnOnce(Self, u16) -> Self) -> Self {
        match path {
            [] => self,
            [number] => change(self, *number),
            [first, rest @ ..] => {
                let mut all = self.all(*first);
                let inner = all.first().and_then(|attr| attr.children().ok());
                let inner = Self(inner.unwrap_or_default()).changed(rest, change);
                let changed = RawAttr::nested(*first, &inner.0);
                all.splice(..all.len().min(1), [changed]);
                self.with_all(*first, all)
            }
        }
    }

    /// Every attribute that is no nest, by its path.
    fn flat(&self) -> BTreeMap<Path, Vec<u8>> {
        let mut found = BTreeMap::new();
        flatten(&self.0, SOCKET, &[], &mut found);
        found
    }
}

/// Where an attribute is: its number, and which one of that number it is, behind those of the
/// nests that it is in. The order of what comes several times counts.
type Path = Vec<(u16, usize)>;

fn flatten(
    attrs: &[RawAttr],
    table: &'static [AttributeInfo],
    nests: &[(u16, usize)],
    found: &mut BTreeMap<Path, Vec<u8>>,
) {
    for (at, attr) in attrs.iter().enumerate() {
        let number = attr.number();
        let earlier = attrs.iter().take(at);
        let place = earlier.filter(|one| one.number() == number).count();
        let path = [nests, &[(number, place)]].concat();
        let kind = lookup(table, number).map(|row| row.kind);
        match (kind, attr.children()) {
            (Some(Kind::Nest(_, table)), Ok(inner)) => flatten(&inner, table, &path, found),
            _ => {
                found.insert(path, attr.payload.clone());
            }
        }
    }
}

/// The name of an attribute, with the places on the way to it where one is not the first.
fn name(path: &Path) -> String {
    let (numbers, places): (Vec<_>, Vec<_>) = path.iter().copied().unzip();
    let name = AttributePath::new(&numbers);
    if places.iter().all(|place| *place == 0) {
        return name.to_string();
    }
    format!("{name} {places:?}")
}

/// Fails unless two dumps are equal but for identity.
pub fn same_dump(original: &Dump, copy: &Dump) -> Result<()> {
    let identity = [
        attr::INODE,
        attr::COOKIE,
        attr::SOCK_FD,
        attr::CGROUP,
        attr::REUSEPORT_INDEX,
    ];
    let (left, right) = (original.flat(), copy.flat());
    let mut paths: Vec<_> = left.keys().chain(right.keys()).collect();
    paths.sort_unstable();
    paths.dedup();
    let difference: Vec<_> = paths
        .into_iter()
        .filter(|path| !identity.contains(&path[0].0) && left.get(*path) != right.get(*path))
        .map(|path| {
            let name = name(path);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn nest(group: u8, sources: &[u8]) -> RawAttr {
        let group = RawAttr::new(attr::membership::GROUP, [224, 1, 1, group]);
        let source = |last: &u8| RawAttr::new(attr::membership::SOURCE, [10, 0, 0, *last]);
        let inside: Vec<_> = [group]
            .into_iter()
            .chain(sources.iter().map(source))
            .collect();
        RawAttr::nested(attr::MEMBERSHIP, &inside)
    }

    #[test]
    fn what_comes_several_times_counts_with_its_order() {
        let dump = |nests: &[RawAttr]| Dump(nests.to_vec());
        let original = dump(&[nest(1, &[1, 2]), nest(2, &[])]);
        assert!(same_dump(&original, &original.clone()).is_ok());
        for (copy, word) in [
            (vec![nest(1, &[1, 2])], "membership.group [1, 0]"),
            (vec![nest(2, &[]), nest(1, &[1, 2])], "membership.source"),
            (
                vec![nest(1, &[2, 1]), nest(2, &[])],
                "membership.source [0, 1]",
            ),
            (
                vec![nest(1, &[1]), nest(2, &[])],
                "membership.source [0, 1]",
            ),
            (
                vec![nest(1, &[1, 2]), nest(2, &[]), nest(2, &[])],
                "membership.group [2, 0]",
            ),
        ] {
            let error = same_dump(&original, &dump(&copy)).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn spoiling_leaves_one_in_the_place_of_all_and_changes_the_first() {
        let before = RawAttr::u32(attr::SOCK_TYPE, 2);
        let dump = Dump(vec![nest(1, &[1, 2]), before.clone(), nest(2, &[])]);
        assert_eq!(dump.all(attr::MEMBERSHIP).len(), 2);
        let one = dump.clone().with(nest(3, &[]));
        assert_eq!(one.without(attr::SOCK_TYPE).0, [nest(3, &[])]);
        assert_eq!(dump.clone().without(attr::MEMBERSHIP).0, [before]);
        let source = RawAttr::new(attr::membership::SOURCE, [10, 0, 0, 9]);
        let more = dump.clone().adding_at(&[attr::MEMBERSHIP], source.clone());
        assert_eq!(
            more.all(attr::MEMBERSHIP),
            [nest(1, &[1, 2, 9]), nest(2, &[])]
        );
        let other = dump.with_at(&[attr::MEMBERSHIP], source);
        assert_eq!(other.all(attr::MEMBERSHIP), [nest(1, &[9]), nest(2, &[])]);
        let made = Dump(Vec::new()).with_at(&[attr::MEMBERSHIP], RawAttr::u32(4, 1));
        assert_eq!(made.u32_at(&[attr::MEMBERSHIP, 4]), Some(1));
    }
}
