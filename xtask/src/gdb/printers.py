# SPDX-License-Identifier: GPL-2.0

"""What types of the kernel crate hold behind a pointer, which gdb itself does not follow."""

import gdb
import gdb.printing


class Vec:
    """kernel::alloc::kvec::Vec, which KVec and its relatives are."""

    def __init__(self, value):
        self.first = value["ptr"]["pointer"]
        self.len = int(value["len"])

    def to_string(self):
        return f"Vec of {self.len}"

    def children(self):
        for nth in range(self.len):
            yield str(nth), (self.first + nth).dereference()

    def display_hint(self):
        return "array"


class CString:
    """kernel::str::CString."""

    def __init__(self, value):
        self.buf = value["buf"]

    def to_string(self):
        # Without the end.
        return self.buf["ptr"]["pointer"].lazy_string(length=int(self.buf["len"]) - 1)

    def display_hint(self):
        return "string"


class Pointer:
    """What is a pointer to one thing. If that has no size the pointer is all that is shown."""

    def __init__(self, pointer):
        self.pointer = pointer

    def to_string(self):
        return None

    def children(self):
        thin = self.pointer.type.strip_typedefs().code == gdb.TYPE_CODE_PTR
        yield "*", self.pointer.dereference() if thin else self.pointer


def of_box(value):
    return Pointer(value["__0"]["pointer"])


def of_aref(value):
    return Pointer(value["ptr"]["pointer"])


printers = gdb.printing.RegexpCollectionPrettyPrinter("kernel crate")
printers.add_printer("Vec", "^kernel::alloc::kvec::Vec<", Vec)
printers.add_printer("CString", "^kernel::str::CString$", CString)
printers.add_printer("Box", "^kernel::alloc::kbox::Box<", of_box)
printers.add_printer("Arc", "^kernel::sync::arc::Arc<", of_aref)
printers.add_printer("ARef", "^kernel::sync::aref::ARef<", of_aref)
gdb.printing.register_pretty_printer(None, printers)
