// SPDX-License-Identifier: GPL-2.0

#include <linux/capability.h>
#include <linux/cgroup.h>
#include <linux/fdtable.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/security.h>
#include <linux/sock_diag.h>
#include <linux/sockptr.h>
#include <linux/uidgid.h>
#include <net/sock.h>

#ifdef CONFIG_NET

__rust_helper struct inode *rust_helper_SOCK_INODE(struct socket *socket)
{
	return SOCK_INODE(socket);
}

__rust_helper unsigned int rust_helper_bpf_prog_size(unsigned int proglen)
{
	return bpf_prog_size(proglen);
}

#ifndef CONFIG_MULTIUSER
__rust_helper bool rust_helper_ns_capable(struct user_namespace *ns, int cap)
{
	return ns_capable(ns, cap);
}
#endif

#ifndef CONFIG_USER_NS
__rust_helper kuid_t rust_helper_make_kuid(struct user_namespace *from, uid_t uid)
{
	return make_kuid(from, uid);
}
#endif

#ifdef CONFIG_TINY_RCU
__rust_helper void rust_helper_synchronize_rcu_expedited(void)
{
	synchronize_rcu_expedited();
}
#endif

__rust_helper sockptr_t rust_helper_KERNEL_SOCKPTR(void *p)
{
	return KERNEL_SOCKPTR(p);
}

__rust_helper void rust_helper_lock_sock(struct sock *sk)
{
	lock_sock(sk);
}

__rust_helper void rust_helper_sk_dst_reset(struct sock *sk)
{
	sk_dst_reset(sk);
}

__rust_helper int rust_helper_sk_drops_read(const struct sock *sk)
{
	return sk_drops_read(sk);
}

__rust_helper void rust_helper_sk_drops_add(struct sock *sk, int segs)
{
	sk_drops_add(sk, segs);
}

__rust_helper void rust_helper_sk_drops_reset(struct sock *sk)
{
	sk_drops_reset(sk);
}

/* As in sock_diag. 0, which is no identifier, if sockets do not have a control group. */
__rust_helper u64 rust_helper_sk_cgroup_id(struct sock *sk)
{
#ifdef CONFIG_SOCK_CGROUP_DATA
	return cgroup_id(sock_cgroup_ptr(&sk->sk_cgrp_data));
#else
	return 0;
#endif
}

__rust_helper u64 rust_helper_sock_gen_cookie(struct sock *sk)
{
	return sock_gen_cookie(sk);
}

__rust_helper void rust_helper_sock_hold(struct sock *sk)
{
	sock_hold(sk);
}

__rust_helper struct net *rust_helper_sock_net(const struct sock *sk)
{
	return sock_net(sk);
}

__rust_helper void rust_helper_sock_put(struct sock *sk)
{
	sock_put(sk);
}

__rust_helper ktime_t rust_helper_sock_read_timestamp(struct sock *sk)
{
	return sock_read_timestamp(sk);
}

__rust_helper
void rust_helper_sock_write_timestamp(struct sock *sk, ktime_t kt)
{
	sock_write_timestamp(sk, kt);
}

/*
 * Whether a task has no file table of its own: a thread with that of its
 * process, or a kernel thread, which all have an empty one. Not by the bindings,
 * since bindgen does not see the alignment of an empty member of struct
 * task_struct. To be called under RCU.
 */
__rust_helper bool rust_helper_task_has_no_own_files(struct task_struct *t)
{
	struct task_struct *leader = READ_ONCE(t->group_leader);

	if (READ_ONCE(t->flags) & PF_KTHREAD)
		return true;
	return t != leader && READ_ONCE(t->files) == READ_ONCE(leader->files);
}

/* iterate_fd() for the files of another task, and how many places they have. */
__rust_helper
int rust_helper_task_iterate_fd(struct task_struct *t, unsigned int fd,
				int (*f)(const void *, struct file *, unsigned int),
				const void *p, unsigned int *places)
{
	int res = 0;

	*places = 0;
	task_lock(t);
	if (t->files) {
		rcu_read_lock();
		*places = files_fdtable(t->files)->max_fds;
		rcu_read_unlock();
		res = iterate_fd(t->files, fd, f, p);
	}
	task_unlock(t);

	return res;
}

/* A macro. */
__rust_helper bool rust_helper_file_is_shared(struct file *file)
{
	return file_count(file) > 1;
}

#ifndef CONFIG_SECURITY
__rust_helper int rust_helper_security_file_receive(struct file *file)
{
	return security_file_receive(file);
}

__rust_helper int rust_helper_security_file_fcntl(struct file *file,
						  unsigned int cmd,
						  unsigned long arg)
{
	return security_file_fcntl(file, cmd, arg);
}
#endif

#ifndef CONFIG_SECURITY_NETWORK
__rust_helper int rust_helper_security_socket_recvmsg(struct socket *sock,
						      struct msghdr *msg,
						      int size, int flags)
{
	return security_socket_recvmsg(sock, msg, size, flags);
}

__rust_helper int rust_helper_security_socket_getsockopt(struct socket *sock,
							 int level,
							 int optname)
{
	return security_socket_getsockopt(sock, level, optname);
}

__rust_helper int rust_helper_security_socket_setsockopt(struct socket *sock,
							 int level,
							 int optname)
{
	return security_socket_setsockopt(sock, level, optname);
}

__rust_helper int rust_helper_security_socket_getsockname(struct socket *sock)
{
	return security_socket_getsockname(sock);
}

__rust_helper int rust_helper_security_socket_getpeername(struct socket *sock)
{
	return security_socket_getpeername(sock);
}
#endif

#endif
