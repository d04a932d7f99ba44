# What `cargo xtask gdb --check` has gdb do where a socket is being dumped:
# look around there, and let the guest go on to its end.
backtrace
info args
print *request
# The scripts name what is in C, which gdb does not find from a frame in Rust.
set language c
lx-cmdline
set language auto
delete
tbreak af_inet_cr::restore::make
continue
print *maps
continue
