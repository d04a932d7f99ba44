// SPDX-License-Identifier: GPL-2.0

//! `inetcr criu-hook`.

mod process;
pub mod script;
