// SPDX-License-Identifier: GPL-2.0
/*
 * Checkpoint and restore of UDP sockets in plain C: the yardstick for what the
 * family af-inet-cr costs because it is in Rust. It is built for the benchmark
 * and for nothing else.
 *
 * The interface is that of af_inet_cr.yaml, under the name of a family of its
 * own. A dump has all that the other family tells of a socket that has no
 * filter, no groups, no owner of its file and nothing in its queues, attribute
 * by attribute; others are refused. Restored are the options of the table of
 * the RFC of 2007, and the addresses of a socket that is not connected.
 *
 * A socket is found by a descriptor of the requester only.
 */

#include <linux/af_inet_cr.h>
#include <linux/cgroup.h>
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/igmp.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/netdevice.h>
#include <linux/security.h>
#include <linux/sock_diag.h>
#include <linux/udp.h>
#include <net/genetlink.h>
#include <net/inet_sock.h>
#include <net/ip.h>
#include <net/sock.h>
#include <net/udp.h>
#include <net/xfrm.h>

#define CR_C_FAMILY_NAME	"af-inet-cr-c"

#define CR_BIND_LOCKS		(SOCK_BINDADDR_LOCK | SOCK_BINDPORT_LOCK)
#define CR_BIND_LOCK_SHIFT	2

#define CR_PLAIN_FILE_FLAGS	(O_APPEND | O_DIRECT | O_NOATIME)

/* Who has got somebody else to write to a netlink socket must not have the
 * rights of the sender. A module cannot ask as the family does: it takes them
 * for the same only if they are.
 */
static bool cr_opener_has_rights(struct sk_buff *skb)
{
	if (NETLINK_CB(skb).flags & NETLINK_SKB_DST)
		return true;
	return NETLINK_CB(skb).sk->sk_socket->file->f_cred == current_cred();
}

/* What holds for every request: no attribute is there twice. */
static int cr_admit(struct sk_buff *skb, struct genl_info *info)
{
	DECLARE_BITMAP(seen, __AF_INET_CR_ATTR_MAX) = {};
	const struct nlattr *nla;
	int rem;

	if (!cr_opener_has_rights(skb)) {
		GENL_SET_ERR_MSG(info, "who opened the netlink socket may do less than the sender");
		return -EPERM;
	}
	nlmsg_for_each_attr(nla, info->nlhdr, GENL_HDRLEN, rem) {
		if (__test_and_set_bit(nla_type(nla), seen)) {
			NL_SET_ERR_MSG_ATTR(info->extack, nla,
					    "an attribute is repeated");
			return -EINVAL;
		}
	}
	return 0;
}

static u32 cr_family(const struct sock *sk)
{
	return sk->sk_family;
}

static u32 cr_type(const struct sock *sk)
{
	return sk->sk_type;
}

static u32 cr_protocol(const struct sock *sk)
{
	return sk->sk_protocol;
}

static u32 cr_reuse(const struct sock *sk)
{
	return sk->sk_reuse;
}

static u32 cr_broadcast(const struct sock *sk)
{
	return sock_flag(sk, SOCK_BROADCAST);
}

static u32 cr_debug(const struct sock *sk)
{
	return sock_flag(sk, SOCK_DBG);
}

static u32 cr_dontroute(const struct sock *sk)
{
	return sock_flag(sk, SOCK_LOCALROUTE);
}

static u32 cr_keepalive(const struct sock *sk)
{
	return sock_flag(sk, SOCK_KEEPOPEN);
}

static u32 cr_oobinline(const struct sock *sk)
{
	return sock_flag(sk, SOCK_URGINLINE);
}

static u32 cr_priority(const struct sock *sk)
{
	return READ_ONCE(sk->sk_priority);
}

static u32 cr_rcvlowat(const struct sock *sk)
{
	return READ_ONCE(sk->sk_rcvlowat);
}

static u32 cr_rcvbuf(const struct sock *sk)
{
	return READ_ONCE(sk->sk_rcvbuf);
}

static u32 cr_sndbuf(const struct sock *sk)
{
	return READ_ONCE(sk->sk_sndbuf);
}

static u32 cr_sndbuf_ulock(const struct sock *sk)
{
	return !!(READ_ONCE(sk->sk_userlocks) & SOCK_SNDBUF_LOCK);
}

static u32 cr_rcvbuf_ulock(const struct sock *sk)
{
	return !!(READ_ONCE(sk->sk_userlocks) & SOCK_RCVBUF_LOCK);
}

static u32 cr_bound_dev(const struct sock *sk)
{
	return READ_ONCE(sk->sk_bound_dev_if);
}

/* SO_TIMESTAMP and its relatives share their state. */
static u32 cr_timestamp(const struct sock *sk)
{
	bool new = sock_flag(sk, SOCK_TSTAMP_NEW);

	if (!sock_flag(sk, SOCK_RCVTSTAMP))
		return AF_INET_CR_TIMESTAMP_OFF;
	if (sock_flag(sk, SOCK_RCVTSTAMPNS))
		return new ? AF_INET_CR_TIMESTAMP_NS_NEW :
			     AF_INET_CR_TIMESTAMP_NS_OLD;
	return new ? AF_INET_CR_TIMESTAMP_US_NEW : AF_INET_CR_TIMESTAMP_US_OLD;
}

static u32 cr_bind_locks(const struct sock *sk)
{
	return (READ_ONCE(sk->sk_userlocks) & CR_BIND_LOCKS) >>
	       CR_BIND_LOCK_SHIFT;
}

/* A time of a socket in nanoseconds, -1 for one without limit. */
static int cr_nanos(long ticks, s64 *nanos)
{
	if (ticks == MAX_SCHEDULE_TIMEOUT) {
		*nanos = -1;
		return 0;
	}
	if (ticks < 0 || ticks > S64_MAX / TICK_NSEC)
		return -EOVERFLOW;
	*nanos = jiffies64_to_nsecs(ticks);
	return 0;
}

/* The other way round, rounded up as setsockopt() does. */
static int cr_jiffies(s64 nanos, long *ticks)
{
	if (nanos < -1)
		return -ERANGE;
	if (nanos == -1)
		*ticks = MAX_SCHEDULE_TIMEOUT;
	else
		*ticks = DIV_ROUND_UP_ULL(nanos, TICK_NSEC);
	return 0;
}

static int cr_put_time(struct sk_buff *msg, int attr, long ticks)
{
	s64 nanos;
	int err;

	err = cr_nanos(ticks, &nanos);
	if (err)
		return err;
	return nla_put_sint(msg, attr, nanos);
}

static int cr_put_linger(struct sk_buff *msg, const struct sock *sk)
{
	unsigned long time = READ_ONCE(sk->sk_lingertime);
	struct nlattr *nest;
	int err;

	nest = nla_nest_start(msg, AF_INET_CR_ATTR_SOCKOPT_LINGER);
	if (!nest)
		return -EMSGSIZE;
	err = nla_put_u32(msg, AF_INET_CR_A_LINGER_ONOFF,
			  sock_flag(sk, SOCK_LINGER));
	if (!err)
		err = cr_put_time(msg, AF_INET_CR_A_LINGER_TIME,
				  min_t(unsigned long, time,
					MAX_SCHEDULE_TIMEOUT));
	if (err)
		return err;
	nla_nest_end(msg, nest);
	return 0;
}

static int cr_put_timestamping(struct sk_buff *msg, const struct sock *sk)
{
	struct nlattr *nest;

	nest = nla_nest_start(msg, AF_INET_CR_ATTR_SOCKOPT_TIMESTAMPING);
	if (!nest)
		return -EMSGSIZE;
	if (nla_put_u32(msg, AF_INET_CR_A_TIMESTAMPING_FLAGS,
			READ_ONCE(sk->sk_tsflags)) ||
	    nla_put_s32(msg, AF_INET_CR_A_TIMESTAMPING_BIND_PHC,
			READ_ONCE(sk->sk_bind_phc)) ||
	    nla_put_u32(msg, AF_INET_CR_A_TIMESTAMPING_NEW,
			sock_flag(sk, SOCK_TSTAMP_NEW)))
		return -EMSGSIZE;
	nla_nest_end(msg, nest);
	return 0;
}

static int cr_put_txtime(struct sk_buff *msg, const struct sock *sk)
{
	struct nlattr *nest;
	u32 flags = 0;

	if (!sock_flag(sk, SOCK_TXTIME))
		return 0;
	if (sk->sk_txtime_deadline_mode)
		flags |= SOF_TXTIME_DEADLINE_MODE;
	if (sk->sk_txtime_report_errors)
		flags |= SOF_TXTIME_REPORT_ERRORS;

	nest = nla_nest_start(msg, AF_INET_CR_ATTR_SOCKOPT_TXTIME);
	if (!nest)
		return -EMSGSIZE;
	if (nla_put_s32(msg, AF_INET_CR_A_TXTIME_CLOCKID,
			READ_ONCE(sk->sk_clockid)) ||
	    nla_put_u32(msg, AF_INET_CR_A_TXTIME_FLAGS, flags))
		return -EMSGSIZE;
	nla_nest_end(msg, nest);
	return 0;
}

/* The name of a device, which is empty where there is none. A renaming at this
 * moment may show: netdev_copy_name() is not there for modules.
 */
static int cr_put_ifname(struct sk_buff *msg, int attr, struct net *net,
			 int ifindex)
{
	char name[IFNAMSIZ] = "";
	struct net_device *dev;

	if (ifindex) {
		rcu_read_lock();
		dev = dev_get_by_index_rcu(net, ifindex);
		if (!dev) {
			rcu_read_unlock();
			return -EOPNOTSUPP;
		}
		strscpy(name, dev->name);
		rcu_read_unlock();
	}
	return nla_put_string(msg, attr, name);
}

static int cr_put_pacing(struct sk_buff *msg, int attr, unsigned long rate)
{
	return nla_put_uint(msg, attr, rate == ~0UL ? U64_MAX : rate);
}

static int cr_put_busy_poll(struct sk_buff *msg, const struct sock *sk)
{
	u32 usec = 0, budget = 0;

#ifdef CONFIG_NET_RX_BUSY_POLL
	usec = READ_ONCE(sk->sk_ll_usec);
	budget = READ_ONCE(sk->sk_busy_poll_budget);
#endif
	if (nla_put_u32(msg, AF_INET_CR_ATTR_SOCKOPT_BUSY_POLL, usec) ||
	    nla_put_u32(msg, AF_INET_CR_ATTR_SOCKOPT_BUSY_POLL_BUDGET, budget))
		return -EMSGSIZE;
	return 0;
}

/* The options of SOL_SOCKET that are booleans, one bit each. */
static int cr_put_sock_flags(struct sk_buff *msg, const struct sock *sk)
{
	const u32 all = 2 * AF_INET_CR_SOCKOPT_FLAG_TIMESTAMP - 1;
	u32 bits = 0;

	if (sk->sk_no_check_tx)
		bits |= AF_INET_CR_SOCKOPT_FLAG_NO_CHECK;
	if (sk->sk_reuseport)
		bits |= AF_INET_CR_SOCKOPT_FLAG_REUSEPORT;
	if (sock_flag(sk, SOCK_RXQ_OVFL))
		bits |= AF_INET_CR_SOCKOPT_FLAG_RXQ_OVFL;
	if (sock_flag(sk, SOCK_WIFI_STATUS))
		bits |= AF_INET_CR_SOCKOPT_FLAG_WIFI_STATUS;
	if (sock_flag(sk, SOCK_NOFCS))
		bits |= AF_INET_CR_SOCKOPT_FLAG_NOFCS;
	if (sock_flag(sk, SOCK_SELECT_ERR_QUEUE))
		bits |= AF_INET_CR_SOCKOPT_FLAG_SELECT_ERR_QUEUE;
	if (sock_flag(sk, SOCK_FILTER_LOCKED))
		bits |= AF_INET_CR_SOCKOPT_FLAG_LOCK_FILTER;
	if (sock_flag(sk, SOCK_ZEROCOPY))
		bits |= AF_INET_CR_SOCKOPT_FLAG_ZEROCOPY;
#ifdef CONFIG_NET_RX_BUSY_POLL
	if (READ_ONCE(sk->sk_prefer_busy_poll))
		bits |= AF_INET_CR_SOCKOPT_FLAG_PREFER_BUSY_POLL;
#endif
	if (sock_flag(sk, SOCK_RCVMARK))
		bits |= AF_INET_CR_SOCKOPT_FLAG_RCVMARK;
	if (sock_flag(sk, SOCK_RCVPRIORITY))
		bits |= AF_INET_CR_SOCKOPT_FLAG_RCVPRIORITY;
	if (sock_flag(sk, SOCK_TIMESTAMP))
		bits |= AF_INET_CR_SOCKOPT_FLAG_TIMESTAMP;

	if (nla_put_u32(msg, AF_INET_CR_ATTR_SOCKOPT_FLAGS, bits) ||
	    nla_put_u32(msg, AF_INET_CR_ATTR_SOCKOPT_FLAGS_MASK, all))
		return -EMSGSIZE;
	return 0;
}

static int cr_put_sol_socket(struct sk_buff *msg, struct sock *sk,
			     struct net *net)
{
	int err;

	if (nla_put_u32(msg, AF_INET_CR_ATTR_SOCK_FAMILY, cr_family(sk)) ||
	    nla_put_u32(msg, AF_INET_CR_ATTR_SOCK_TYPE, cr_type(sk)) ||
	    nla_put_u32(msg, AF_INET_CR_ATTR_SOCK_PROTOCOL, cr_protocol(sk)) ||
	    nla_put_u32(msg, AF_INET_CR_ATTR_SOCKOPT_REUSEADDR, cr_reuse(sk)) ||
	    nla_put_u32(msg, AF_INET_CR_ATTR_SOCKOPT_BROADCAST,
			cr_broadcast(sk)) ||
	    nla_put_u32(msg, AF_INET_CR_ATTR_SOCKOPT_MARK,
			READ_ONCE(sk->sk_mark)))
		return -EMSGSIZE;
	err = cr_put_ifname(msg, AF_INET_CR_ATTR_SOCKOPT_BINDTODEVICE, net,
			    cr_bound_dev(sk));
	if (err)
		return err;
	err = cr_put_timestamping(msg, sk);
	if (err)
		return err;
	if (nla_put_u32(msg, AF_INET_CR_ATTR_SOCKOPT_TIMESTAMP,
			cr_timestamp(sk)) ||
	    nla_put_u32(msg, AF_INET_CR_ATTR_SOCKOPT_DEBUG, cr_debug(sk)) ||
	    nla_put_u32(msg, AF_INET_CR_ATTR_SOCKOPT_DONTROUTE,
			cr_dontroute(sk)) ||
	    nla_put_u32(msg, AF_INET_CR_ATTR_SOCKOPT_KEEPALIVE,
			cr_keepalive(sk)) ||
	    nla_put_u32(msg, AF_INET_CR_ATTR_SOCKOPT_OOBINLINE,
			cr_oobinline(sk)))
		return -EMSGSIZE;
	err = cr_put_linger(msg, sk);
	if (err)
		return err;
	if (nla_put_u32(msg, AF_INET_CR_ATTR_SOCKOPT_PRIORITY, cr_priority(sk)))
		return -EMSGSIZE;
	err = cr_put_busy_poll(msg, sk);
	if (err)
		return err;
	if (cr_put_pacing(msg, AF_INET_CR_ATTR_SOCKOPT_MAX_PACING_RATE,
			  READ_ONCE(sk->sk_max_pacing_rate)) ||
	    cr_put_pacing(msg, AF_INET_CR_ATTR_PACING_RATE,
			  READ_ONCE(sk->sk_pacing_rate)) ||
	    nla_put_s32(msg, AF_INET_CR_ATTR_SOCKOPT_INCOMING_CPU,
			READ_ONCE(sk->sk_incoming_cpu)))
		return -EMSGSIZE;
	err = cr_put_txtime(msg, sk);
	if (err)
		return err;
	if (nla_put_u32(msg, AF_INET_CR_ATTR_SOCKOPT_SNDBUF, cr_sndbuf(sk)) ||
	    nla_put_u32(msg, AF_INET_CR_ATTR_SOCKOPT_RCVBUF, cr_rcvbuf(sk)) ||
	    nla_put_u32(msg, AF_INET_CR_ATTR_SOCKOPT_SNDBUF_ULOCK,
			cr_sndbuf_ulock(sk)) ||
	    nla_put_u32(msg, AF_INET_CR_ATTR_SOCKOPT_RCVBUF_ULOCK,
			cr_rcvbuf_ulock(sk)) ||
	    nla_put_u32(msg, AF_INET_CR_ATTR_SOCKOPT_RCVLOWAT,
			cr_rcvlowat(sk)) ||
	    nla_put_s32(msg, AF_INET_CR_ATTR_SOCKOPT_PEEK_OFF,
			READ_ONCE(sk->sk_peek_off)))
		return -EMSGSIZE;
	err = cr_put_time(msg, AF_INET_CR_ATTR_SOCKOPT_RCVTIMEO,
			  READ_ONCE(sk->sk_rcvtimeo));
	if (err)
		return err;
	err = cr_put_time(msg, AF_INET_CR_ATTR_SOCKOPT_SNDTIMEO,
			  READ_ONCE(sk->sk_sndtimeo));
	if (err)
		return err;
	if ((sock_flag(sk, SOCK_TIMESTAMP) ||
	     sock_read_timestamp(sk) != SK_DEFAULT_STAMP) &&
	    nla_put_sint(msg, AF_INET_CR_ATTR_STAMP, sock_read_timestamp(sk)))
		return -EMSGSIZE;
	if (nla_put_u32(msg, AF_INET_CR_ATTR_TSKEY,
			atomic_read(&sk->sk_tskey)) ||
	    nla_put_u32(msg, AF_INET_CR_ATTR_ZCKEY,
			atomic_read(&sk->sk_zckey)) ||
	    nla_put_u32(msg, AF_INET_CR_ATTR_ERROR, READ_ONCE(sk->sk_err)) ||
	    nla_put_u32(msg, AF_INET_CR_ATTR_SOFT_ERROR,
			READ_ONCE(sk->sk_err_soft)) ||
	    nla_put_u32(msg, AF_INET_CR_ATTR_SHUTDOWN,
			READ_ONCE(sk->sk_shutdown)) ||
	    nla_put_u32(msg, AF_INET_CR_ATTR_DROPS, sk_drops_read(sk)))
		return -EMSGSIZE;
	return cr_put_sock_flags(msg, sk);
}

/* The options of the IP header as they were set: mirrors ip_options_undo(),
 * which modules cannot call, for those without addresses on the way and times.
 */
static int cr_put_ip_options(struct sk_buff *msg, const struct inet_sock *inet)
{
	u8 buf[sizeof(struct ip_options) + MAX_IPOPTLEN];
	struct ip_options *opt = (struct ip_options *)buf;
	struct ip_options_rcu *inet_opt;
	u8 *rr;

	rcu_read_lock();
	inet_opt = rcu_dereference(inet->inet_opt);
	opt->optlen = 0;
	if (inet_opt)
		memcpy(opt, &inet_opt->opt,
		       sizeof(*opt) + inet_opt->opt.optlen);
	rcu_read_unlock();

	if (!opt->optlen)
		return 0;
	if (opt->srr || opt->ts)
		return -EOPNOTSUPP;
	if (opt->rr_needaddr) {
		rr = opt->__data + opt->rr - sizeof(struct iphdr);
		rr[2] -= 4;
		memset(&rr[rr[2] - 1], 0, 4);
	}
	return nla_put(msg, AF_INET_CR_A_IP_OPTIONS, opt->optlen, opt->__data);
}

static int cr_put_ip_flags(struct sk_buff *msg, const struct sock *sk)
{
	const u32 all = 2 * AF_INET_CR_IP_FLAG_MULTICAST_ALL - 1;
	u32 bits = 0;

	if (inet_test_bit(RECVOPTS, sk))
		bits |= AF_INET_CR_IP_FLAG_RECVOPTS;
	if (inet_test_bit(RETOPTS, sk))
		bits |= AF_INET_CR_IP_FLAG_RETOPTS;
	if (inet_test_bit(PKTINFO, sk))
		bits |= AF_INET_CR_IP_FLAG_PKTINFO;
	if (inet_test_bit(RECVERR, sk))
		bits |= AF_INET_CR_IP_FLAG_RECVERR;
	if (inet_test_bit(TTL, sk))
		bits |= AF_INET_CR_IP_FLAG_RECVTTL;
	if (inet_test_bit(TOS, sk))
		bits |= AF_INET_CR_IP_FLAG_RECVTOS;
	if (inet_test_bit(FREEBIND, sk))
		bits |= AF_INET_CR_IP_FLAG_FREEBIND;
	if (inet_test_bit(PASSSEC, sk))
		bits |= AF_INET_CR_IP_FLAG_PASSSEC;
	if (inet_test_bit(TRANSPARENT, sk))
		bits |= AF_INET_CR_IP_FLAG_TRANSPARENT;
	if (inet_test_bit(ORIGDSTADDR, sk))
		bits |= AF_INET_CR_IP_FLAG_RECVORIGDSTADDR;
	if (inet_test_bit(CHECKSUM, sk))
		bits |= AF_INET_CR_IP_FLAG_CHECKSUM;
	if (inet_test_bit(BIND_ADDRESS_NO_PORT, sk))
		bits |= AF_INET_CR_IP_FLAG_BIND_ADDRESS_NO_PORT;
	if (inet_test_bit(RECVFRAGSIZE, sk))
		bits |= AF_INET_CR_IP_FLAG_RECVFRAGSIZE;
	if (inet_test_bit(RECVERR_RFC4884, sk))
		bits |= AF_INET_CR_IP_FLAG_RECVERR_RFC4884;
	if (inet_test_bit(MC_LOOP, sk))
		bits |= AF_INET_CR_IP_FLAG_MULTICAST_LOOP;
	if (inet_test_bit(MC_ALL, sk))
		bits |= AF_INET_CR_IP_FLAG_MULTICAST_ALL;

	if (nla_put_u32(msg, AF_INET_CR_A_IP_FLAGS, bits) ||
	    nla_put_u32(msg, AF_INET_CR_A_IP_FLAGS_MASK, all))
		return -EMSGSIZE;
	return 0;
}

static int cr_put_sol_ip(struct sk_buff *msg, const struct sock *sk,
			 struct net *net)
{
	const struct inet_sock *inet = inet_sk(sk);
	struct nlattr *nest;
	int err;

	nest = nla_nest_start(msg, AF_INET_CR_ATTR_IP);
	if (!nest ||
	    nla_put_u32(msg, AF_INET_CR_A_IP_TOS, READ_ONCE(inet->tos)))
		return -EMSGSIZE;
	err = cr_put_ifname(msg, AF_INET_CR_A_IP_UNICAST_IFNAME, net,
			    READ_ONCE(inet->uc_index));
	if (err)
		return err;
	err = cr_put_ifname(msg, AF_INET_CR_A_IP_MULTICAST_IFNAME, net,
			    READ_ONCE(inet->mc_index));
	if (err)
		return err;
	if (nla_put_in_addr(msg, AF_INET_CR_A_IP_MULTICAST_ADDR,
			    READ_ONCE(inet->mc_addr)) ||
	    nla_put_s32(msg, AF_INET_CR_A_IP_TTL, READ_ONCE(inet->uc_ttl)) ||
	    nla_put_u32(msg, AF_INET_CR_A_IP_MIN_TTL, READ_ONCE(inet->min_ttl)))
		return -EMSGSIZE;
	err = cr_put_ip_options(msg, inet);
	if (err)
		return err;
	if (nla_put_u32(msg, AF_INET_CR_A_IP_MTU_DISCOVER,
			READ_ONCE(inet->pmtudisc)) ||
	    nla_put_u32(msg, AF_INET_CR_A_IP_MULTICAST_TTL,
			READ_ONCE(inet->mc_ttl)) ||
	    nla_put_u32(msg, AF_INET_CR_A_IP_LOCAL_PORT_RANGE,
			READ_ONCE(inet->local_port_range)))
		return -EMSGSIZE;
	err = cr_put_ip_flags(msg, sk);
	if (err)
		return err;
	nla_nest_end(msg, nest);
	return 0;
}

/* Which handlers XFRM has in a socket. */
static u32 cr_xfrm_handlers(const struct udp_sock *up)
{
	u32 bits = 0;

#ifdef CONFIG_XFRM
	if (READ_ONCE(up->encap_rcv) == xfrm4_udp_encap_rcv)
		bits |= AF_INET_CR_UDP_FLAG_ENCAP_RCV;
	if (READ_ONCE(up->gro_receive) == xfrm4_gro_udp_encap_rcv)
		bits |= AF_INET_CR_UDP_FLAG_GRO_RECEIVE;
#endif
	return bits;
}

static int cr_put_sol_udp(struct sk_buff *msg, const struct sock *sk)
{
	const u32 all = 2 * AF_INET_CR_UDP_FLAG_GRO_RECEIVE - 1;
	const struct udp_sock *up = udp_sk(sk);
	struct nlattr *nest;
	u32 bits = 0;

	if (udp_test_bit(CORK, sk))
		bits |= AF_INET_CR_UDP_FLAG_CORK;
	if (udp_test_bit(NO_CHECK6_TX, sk))
		bits |= AF_INET_CR_UDP_FLAG_NO_CHECK6_TX;
	if (udp_test_bit(NO_CHECK6_RX, sk))
		bits |= AF_INET_CR_UDP_FLAG_NO_CHECK6_RX;
	if (udp_test_bit(GRO_ENABLED, sk))
		bits |= AF_INET_CR_UDP_FLAG_GRO;
	bits |= cr_xfrm_handlers(up);

	nest = nla_nest_start(msg, AF_INET_CR_ATTR_UDP);
	if (!nest ||
	    nla_put_u32(msg, AF_INET_CR_A_UDP_ENCAP,
			READ_ONCE(up->encap_type)) ||
	    nla_put_u32(msg, AF_INET_CR_A_UDP_SEGMENT,
			READ_ONCE(up->gso_size)) ||
	    nla_put_u32(msg, AF_INET_CR_A_UDP_FLAGS, bits) ||
	    nla_put_u32(msg, AF_INET_CR_A_UDP_FLAGS_MASK, all))
		return -EMSGSIZE;
	nla_nest_end(msg, nest);
	return 0;
}

static int cr_put_addresses(struct sk_buff *msg, const struct sock *sk)
{
	const struct inet_sock *inet = inet_sk(sk);
	__be32 local = inet->inet_rcv_saddr;

	if (ntohs(inet->inet_sport) != inet->inet_num)
		return -EOPNOTSUPP;

	if (local && nla_put_in_addr(msg, AF_INET_CR_ATTR_LOCAL_ADDR, local))
		return -EMSGSIZE;
	if (inet->inet_num &&
	    nla_put_be16(msg, AF_INET_CR_ATTR_LOCAL_PORT, inet->inet_sport))
		return -EMSGSIZE;
	if (sk->sk_state == AF_INET_CR_SOCK_STATE_ESTABLISHED &&
	    (nla_put_in_addr(msg, AF_INET_CR_ATTR_PEER_ADDR,
			     inet->inet_daddr) ||
	     nla_put_be16(msg, AF_INET_CR_ATTR_PEER_PORT, inet->inet_dport)))
		return -EMSGSIZE;
	if (inet->inet_saddr && inet->inet_saddr != local &&
	    nla_put_in_addr(msg, AF_INET_CR_ATTR_SOURCE_ADDR,
			    inet->inet_saddr))
		return -EMSGSIZE;
	return nla_put_u32(msg, AF_INET_CR_ATTR_BIND_LOCKS, cr_bind_locks(sk));
}

static u64 cr_cookie(struct sock *sk)
{
	u32 cookie[2];

	/* The function that makes a number is not there for modules. */
	sock_diag_save_cookie(sk, cookie);
	return (u64)cookie[1] << 32 | cookie[0];
}

static int cr_put_identity(struct sk_buff *msg, struct sock *sk)
{
	if (nla_put_uint(msg, AF_INET_CR_ATTR_INODE, READ_ONCE(sk->sk_ino)) ||
	    nla_put_uint(msg, AF_INET_CR_ATTR_COOKIE, cr_cookie(sk)))
		return -EMSGSIZE;
	return 0;
}

static int cr_put_file_flags(struct sk_buff *msg, const struct file *file)
{
	unsigned int flags = READ_ONCE(file->f_flags);
	u32 bits = 0;

	if (flags & O_NONBLOCK)
		bits |= AF_INET_CR_FILE_FLAG_NONBLOCK;
	if (flags & FASYNC)
		bits |= AF_INET_CR_FILE_FLAG_ASYNC;
	return nla_put_u32(msg, AF_INET_CR_ATTR_FILE_FLAGS, bits);
}

static int cr_put_cgroup(struct sk_buff *msg, struct sock *sk)
{
#ifdef CONFIG_SOCK_CGROUP_DATA
	u64 id = cgroup_id(sock_cgroup_ptr(&sk->sk_cgrp_data));

	return nla_put_uint(msg, AF_INET_CR_ATTR_CGROUP, id);
#else
	return 0;
#endif
}

static int cr_put_sock(struct sk_buff *msg, struct socket *sock,
		       struct net *net)
{
	struct sock *sk = sock->sk;
	uid_t uid;
	int err;

	if (cr_put_identity(msg, sk) ||
	    nla_put_u32(msg, AF_INET_CR_ATTR_SOCK_STATE, sk->sk_state))
		return -EMSGSIZE;
	uid = from_kuid(current_user_ns(), sk_uid(sk));
	if (uid != (uid_t)-1 && nla_put_u32(msg, AF_INET_CR_ATTR_UID, uid))
		return -EMSGSIZE;
	if (cr_put_file_flags(msg, sock->file) || cr_put_cgroup(msg, sk))
		return -EMSGSIZE;
	err = cr_put_addresses(msg, sk);
	if (err)
		return err;
	err = cr_put_sol_socket(msg, sk, net);
	if (err)
		return err;
	err = cr_put_sol_ip(msg, sk, net);
	if (err)
		return err;
	return cr_put_sol_udp(msg, sk);
}

/* How much room a socket may take in a message. */
static size_t cr_sock_size(void)
{
	return 8 * nla_total_size(sizeof(u64)) +	/* also times */
	       52 * nla_total_size(sizeof(u32)) +
	       3 * nla_total_size(IFNAMSIZ) +
	       nla_total_size(MAX_IPOPTLEN) +
	       5 * nla_total_size(0);			/* nests */
}

/* Whether the file or the socket has something that is not dumped. What BPF and
 * IPsec have, and who else has taken the socket, is not dumped by the family in
 * Rust either. (It also looks for extended attributes, which a module cannot.)
 */
static bool cr_has_more(const struct file *file, const struct sock *sk)
{
	const struct udp_sock *up = udp_sk(sk);
	int encap = READ_ONCE(up->encap_type);
	u32 xfrm = cr_xfrm_handlers(up);

	if (READ_ONCE(file->f_flags) & CR_PLAIN_FILE_FLAGS)
		return true;
	if (file_f_owner(file))
		return true;
#ifdef CONFIG_XFRM
	if (rcu_access_pointer(sk->sk_policy[0]) ||
	    rcu_access_pointer(sk->sk_policy[1]))
		return true;
#endif
#ifdef CONFIG_BPF_SYSCALL
	if (rcu_access_pointer(sk->sk_bpf_storage))
		return true;
#endif
	if (READ_ONCE(sk->sk_user_data) || sk->sk_no_check_rx ||
	    sock_flag(sk, SOCK_MEMALLOC))
		return true;
	if (inet_test_bit(HDRINCL, sk) || inet_test_bit(NODEFRAG, sk) ||
	    inet_test_bit(RTALERT, sk))
		return true;
	if (READ_ONCE(sk->sk_prot) != &udp_prot)
		return true;
	if ((encap && encap != UDP_ENCAP_ESPINUDP &&
	     encap != UDP_ENCAP_L2TPINUDP) ||
	    (READ_ONCE(up->encap_rcv) &&
	     !(xfrm & AF_INET_CR_UDP_FLAG_ENCAP_RCV)) ||
	    (READ_ONCE(up->gro_receive) &&
	     !(xfrm & AF_INET_CR_UDP_FLAG_GRO_RECEIVE)) ||
	    READ_ONCE(up->encap_err_rcv) ||
	    READ_ONCE(up->encap_err_lookup) || READ_ONCE(up->encap_destroy))
		return true;
	if (udp_test_bit(ACCEPT_FRAGLIST, sk))
		return true;
	if (rcu_access_pointer(sk->sk_filter) ||
	    rcu_access_pointer(sk->sk_reuseport_cb) ||
	    rcu_access_pointer(inet_sk(sk)->mc_list))
		return true;
	return READ_ONCE(up->pending) ||
	       !skb_queue_empty_lockless(&up->reader_queue) ||
	       !skb_queue_empty_lockless(&sk->sk_receive_queue) ||
	       !skb_queue_empty_lockless(&sk->sk_error_queue);
}

/* Asks the security module once for all options of a level. */
static int cr_permit(struct socket *sock)
{
	int err;

	err = security_socket_getsockopt(sock, SOL_SOCKET, SO_TYPE);
	if (!err)
		err = security_socket_getsockopt(sock, SOL_IP, IP_TOS);
	if (!err)
		err = security_socket_getsockopt(sock, SOL_UDP, UDP_CORK);
	if (!err)
		err = security_socket_getsockname(sock);
	if (!err && sock->sk->sk_state == AF_INET_CR_SOCK_STATE_ESTABLISHED)
		err = security_socket_getpeername(sock);
	return err;
}

static int cr_dump_sock(struct socket *sock, struct genl_info *info)
{
	struct sock *sk = sock->sk;
	struct sk_buff *msg;
	void *hdr;
	int err;

	if (sk->sk_family != AF_INET || sk->sk_type != SOCK_DGRAM ||
	    sk->sk_protocol != IPPROTO_UDP) {
		GENL_SET_ERR_MSG(info, "not a UDP socket of IPv4");
		return -EOPNOTSUPP;
	}

	lock_sock(sk);
	if (sock_flag(sk, SOCK_DEAD)) {
		err = -ENOENT;
		goto out_unlock;
	}
	err = cr_permit(sock);
	if (err)
		goto out_unlock;
	if (sk->sk_state != AF_INET_CR_SOCK_STATE_ESTABLISHED &&
	    sk->sk_state != AF_INET_CR_SOCK_STATE_CLOSE) {
		err = -EOPNOTSUPP;
		goto out_unlock;
	}
	if (cr_has_more(sock->file, sk)) {
		GENL_SET_ERR_MSG(info, "the socket has something that is not dumped");
		err = -EOPNOTSUPP;
		goto out_unlock;
	}

	msg = genlmsg_new(cr_sock_size(), GFP_KERNEL);
	if (!msg) {
		err = -ENOMEM;
		goto out_unlock;
	}
	hdr = genlmsg_iput(msg, info);
	if (!hdr)
		err = -EMSGSIZE;
	else
		err = cr_put_sock(msg, sock, genl_info_net(info));
	release_sock(sk);
	if (err) {
		nlmsg_free(msg);
		return err;
	}
	genlmsg_end(msg, hdr);
	return genlmsg_reply(msg, info);

out_unlock:
	release_sock(sk);
	return err;
}

static int cr_dump(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *cookie = info->attrs[AF_INET_CR_ATTR_COOKIE];
	struct socket *sock;
	int err;

	err = cr_admit(skb, info);
	if (err)
		return err;
	if (GENL_REQ_ATTR_CHECK(info, AF_INET_CR_ATTR_SOCK_FD))
		return -EINVAL;
	sock = sockfd_lookup(nla_get_u32(info->attrs[AF_INET_CR_ATTR_SOCK_FD]),
			     &err);
	if (!sock) {
		NL_SET_BAD_ATTR(info->extack,
				info->attrs[AF_INET_CR_ATTR_SOCK_FD]);
		return err;
	}

	if (!net_eq(sock_net(sock->sk), genl_info_net(info))) {
		GENL_SET_ERR_MSG(info, "no such socket in this network namespace");
		err = -ENOENT;
	} else if (sock->sk->sk_kern_sock) {
		GENL_SET_ERR_MSG(info, "the socket belongs to the kernel");
		err = -EOPNOTSUPP;
	} else if (cookie && nla_get_uint(cookie) != cr_cookie(sock->sk)) {
		NL_SET_ERR_MSG_ATTR(info->extack, cookie,
				    "the socket has another cookie");
		err = -ESTALE;
	} else {
		err = cr_dump_sock(sock, info);
	}
	sockfd_put(sock);
	return err;
}

/* An option that is a number: how it is set, and how it is read. */
struct cr_option {
	u16 attr;
	int optname;
	u32 (*get)(const struct sock *sk);
};

#define CR_OPTION(name, read) {					\
	.attr		= AF_INET_CR_ATTR_SOCKOPT_##name,		\
	.optname	= SO_##name,					\
	.get		= read,						\
}

/* What bind() looks at. */
static const struct cr_option cr_before[] = {
	CR_OPTION(REUSEADDR, cr_reuse),
	CR_OPTION(BROADCAST, cr_broadcast),
};

static const struct cr_option cr_after[] = {
	CR_OPTION(DEBUG, cr_debug),
	CR_OPTION(DONTROUTE, cr_dontroute),
	CR_OPTION(KEEPALIVE, cr_keepalive),
	CR_OPTION(OOBINLINE, cr_oobinline),
	CR_OPTION(PRIORITY, cr_priority),
	CR_OPTION(RCVLOWAT, cr_rcvlowat),
};

static int cr_set(struct socket *sock, int optname, void *value, int len)
{
	return do_sock_setsockopt(sock, false, SOL_SOCKET, optname,
				  KERNEL_SOCKPTR(value), len);
}

static int cr_set_int(struct socket *sock, int optname, int value)
{
	return cr_set(sock, optname, &value, sizeof(value));
}

static int cr_refuse(struct genl_info *info, int attr, int err)
{
	NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[attr], "cannot be set");
	return err;
}

/* What a new socket has anyway needs no privilege, and asks nobody. */
static int cr_restore_options(struct socket *sock, struct genl_info *info,
			      const struct cr_option *options, int count)
{
	const struct cr_option *option;
	const struct nlattr *nla;
	u32 value;
	int err;

	for (option = options; option < options + count; option++) {
		nla = info->attrs[option->attr];
		if (!nla)
			continue;
		value = nla_get_u32(nla);
		if (option->get(sock->sk) == value)
			continue;
		err = cr_set_int(sock, option->optname, value);
		if (err)
			return cr_refuse(info, option->attr, err);
	}
	return 0;
}

static int cr_verify(struct genl_info *info, int attr, u32 value)
{
	const struct nlattr *nla = info->attrs[attr];

	if (!nla || nla_get_u32(nla) == value)
		return 0;
	NL_SET_ERR_MSG_ATTR(info->extack, nla, "became another value");
	return -EPERM;
}

static int cr_verify_options(struct socket *sock, struct genl_info *info,
			     const struct cr_option *options, int count)
{
	const struct cr_option *option;
	int err;

	for (option = options; option < options + count; option++) {
		err = cr_verify(info, option->attr, option->get(sock->sk));
		if (err)
			return err;
	}
	return 0;
}

/* An index for the name of a device, 0 for none. */
static int cr_parse_device(struct genl_info *info, int *ifindex)
{
	const struct nlattr *nla =
		info->attrs[AF_INET_CR_ATTR_SOCKOPT_BINDTODEVICE];
	struct net_device *dev;

	*ifindex = 0;
	if (!nla || !*(const char *)nla_data(nla))
		return 0;
	rcu_read_lock();
	dev = dev_get_by_name_rcu(genl_info_net(info), nla_data(nla));
	if (dev)
		*ifindex = READ_ONCE(dev->ifindex);
	rcu_read_unlock();
	if (dev)
		return 0;
	NL_SET_ERR_MSG_ATTR(info->extack, nla, "no such device");
	return -ENODEV;
}

static int cr_restore_timestamp(struct socket *sock, struct genl_info *info)
{
	const int attr = AF_INET_CR_ATTR_SOCKOPT_TIMESTAMP;
	int optname, err;
	u32 mode;

	if (!info->attrs[attr])
		return 0;
	mode = nla_get_u32(info->attrs[attr]);
	if (cr_timestamp(sock->sk) == mode)
		return 0;
	switch (mode) {
	case AF_INET_CR_TIMESTAMP_US_NEW:
		optname = SO_TIMESTAMP_NEW;
		break;
	case AF_INET_CR_TIMESTAMP_NS_OLD:
		optname = SO_TIMESTAMPNS_OLD;
		break;
	case AF_INET_CR_TIMESTAMP_NS_NEW:
		optname = SO_TIMESTAMPNS_NEW;
		break;
	default:
		optname = SO_TIMESTAMP_OLD;
		break;
	}
	err = cr_set_int(sock, optname, mode != AF_INET_CR_TIMESTAMP_OFF);
	return err ? cr_refuse(info, attr, err) : 0;
}

/* What a message says of SO_LINGER. */
struct cr_linger {
	bool is_there;
	bool on;
	long ticks;
};

static const struct nla_policy cr_linger_policy[] = {
	[AF_INET_CR_A_LINGER_ONOFF]	= NLA_POLICY_RANGE(NLA_U32, 0, 1),
	[AF_INET_CR_A_LINGER_TIME]	= { .type = NLA_SINT },
};

static int cr_parse_linger(struct genl_info *info, struct cr_linger *linger)
{
	const struct nlattr *nla = info->attrs[AF_INET_CR_ATTR_SOCKOPT_LINGER];
	struct nlattr *tb[ARRAY_SIZE(cr_linger_policy)];
	int err;

	linger->is_there = nla;
	if (!nla)
		return 0;
	err = nla_parse_nested(tb, AF_INET_CR_A_LINGER_MAX, nla,
			       cr_linger_policy, info->extack);
	if (err)
		return err;
	if (NL_REQ_ATTR_CHECK(info->extack, nla, tb,
			      AF_INET_CR_A_LINGER_ONOFF) ||
	    NL_REQ_ATTR_CHECK(info->extack, nla, tb, AF_INET_CR_A_LINGER_TIME))
		return -EINVAL;
	linger->on = nla_get_u32(tb[AF_INET_CR_A_LINGER_ONOFF]);
	err = cr_jiffies(nla_get_sint(tb[AF_INET_CR_A_LINGER_TIME]),
			 &linger->ticks);
	if (err)
		return err;
	/* struct linger has whole seconds. */
	if (linger->ticks != MAX_SCHEDULE_TIMEOUT &&
	    (linger->ticks % HZ || linger->ticks / HZ > INT_MAX))
		return -ERANGE;
	return 0;
}

static bool cr_has_linger(const struct sock *sk, const struct cr_linger *linger)
{
	return !linger->is_there ||
	       (sock_flag(sk, SOCK_LINGER) == linger->on &&
		READ_ONCE(sk->sk_lingertime) == linger->ticks);
}

static int cr_restore_linger(struct socket *sock,
			     const struct cr_linger *linger)
{
	struct linger value = {
		.l_onoff = 1,
		.l_linger = -1,
	};
	int err;

	if (cr_has_linger(sock->sk, linger))
		return 0;
	if (linger->ticks != MAX_SCHEDULE_TIMEOUT)
		value.l_linger = linger->ticks / HZ;
	/* Switching it off keeps the time. */
	err = cr_set(sock, SO_LINGER, &value, sizeof(value));
	if (err || linger->on)
		return err;
	value.l_onoff = 0;
	return cr_set(sock, SO_LINGER, &value, sizeof(value));
}

static int cr_parse_time(struct genl_info *info, int attr, long *ticks)
{
	if (!info->attrs[attr]) {
		*ticks = MAX_SCHEDULE_TIMEOUT;
		return 0;
	}
	return cr_jiffies(nla_get_sint(info->attrs[attr]), ticks);
}

static int cr_restore_time(struct socket *sock, int optname, long old,
			   long ticks)
{
	struct __kernel_sock_timeval tv = {};

	if (ticks == old)
		return 0;
	if (ticks == 0) {
		/* Two zeroes are without limit; what is negative does not wait. */
		tv.tv_sec = -1;
	} else if (ticks != MAX_SCHEDULE_TIMEOUT) {
		tv.tv_sec = ticks / HZ;
		tv.tv_usec = ticks % HZ * (USEC_PER_SEC / HZ);
	}
	return cr_set(sock, optname, &tv, sizeof(tv));
}

/* Sets the size of a buffer, which may take a privilege; not an odd one, which
 * setsockopt() cannot set. Whether it is the owner's choice stays as it is.
 */
static int cr_restore_size(struct socket *sock, struct genl_info *info,
			   int attr, int optname, int forced, u32 max, u32 old)
{
	u8 locks = sock->sk->sk_userlocks & SOCK_BUF_LOCK_MASK;
	u32 size;
	int err;

	if (!info->attrs[attr])
		return 0;
	size = nla_get_u32(info->attrs[attr]);
	if (size == old)
		return 0;
	if (size % 2)
		return cr_refuse(info, attr, -EOPNOTSUPP);
	err = cr_set_int(sock, size / 2 <= max ? optname : forced, size / 2);
	if (!err &&
	    (READ_ONCE(sock->sk->sk_userlocks) & SOCK_BUF_LOCK_MASK) != locks)
		err = cr_set_int(sock, SO_BUF_LOCK, locks);
	return err ? cr_refuse(info, attr, err) : 0;
}

static int cr_restore_size_lock(struct socket *sock, struct genl_info *info,
				int attr, u8 bit)
{
	u8 locks = sock->sk->sk_userlocks & SOCK_BUF_LOCK_MASK;
	u8 wanted;
	int err;

	if (!info->attrs[attr])
		return 0;
	wanted = nla_get_u32(info->attrs[attr]) ? locks | bit : locks & ~bit;
	if (wanted == locks)
		return 0;
	err = cr_set_int(sock, SO_BUF_LOCK, wanted);
	return err ? cr_refuse(info, attr, err) : 0;
}

static int cr_restore_buffers(struct socket *sock, struct genl_info *info)
{
	int err;

	err = cr_restore_size(sock, info, AF_INET_CR_ATTR_SOCKOPT_SNDBUF,
			      SO_SNDBUF, SO_SNDBUFFORCE,
			      READ_ONCE(sysctl_wmem_max), cr_sndbuf(sock->sk));
	if (err)
		return err;
	err = cr_restore_size(sock, info, AF_INET_CR_ATTR_SOCKOPT_RCVBUF,
			      SO_RCVBUF, SO_RCVBUFFORCE,
			      READ_ONCE(sysctl_rmem_max), cr_rcvbuf(sock->sk));
	if (err)
		return err;
	err = cr_restore_size_lock(sock, info,
				   AF_INET_CR_ATTR_SOCKOPT_SNDBUF_ULOCK,
				   SOCK_SNDBUF_LOCK);
	if (err)
		return err;
	return cr_restore_size_lock(sock, info,
				    AF_INET_CR_ATTR_SOCKOPT_RCVBUF_ULOCK,
				    SOCK_RCVBUF_LOCK);
}

/* Where a socket is bound to. */
struct cr_address {
	__be32 addr;
	__be16 port;
	u32 locks;
	bool has_locks;
};

static int cr_parse_address(struct genl_info *info, struct cr_address *to)
{
	struct nlattr *addr = info->attrs[AF_INET_CR_ATTR_LOCAL_ADDR];
	struct nlattr *port = info->attrs[AF_INET_CR_ATTR_LOCAL_PORT];
	struct nlattr *locks = info->attrs[AF_INET_CR_ATTR_BIND_LOCKS];

	to->addr = addr ? nla_get_in_addr(addr) : 0;
	to->port = port ? nla_get_be16(port) : 0;
	to->has_locks = locks;
	to->locks = locks ? nla_get_u32(locks) : 0;
	if (to->addr && !to->port) {
		NL_SET_ERR_MSG_ATTR(info->extack, addr, "an address without a port");
		return -EOPNOTSUPP;
	}
	if (to->locks & AF_INET_CR_BIND_LOCK_PORT && !to->port) {
		NL_SET_ERR_MSG_ATTR(info->extack, locks, "no port to lock");
		return -EINVAL;
	}
	if (to->addr && locks && !(to->locks & AF_INET_CR_BIND_LOCK_ADDR)) {
		NL_SET_ERR_MSG_ATTR(info->extack, locks, "an address that nobody chose");
		return -EINVAL;
	}
	return 0;
}

static int cr_restore_address(struct socket *sock, struct genl_info *info,
			      const struct cr_address *to)
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = to->addr,
		.sin_port = to->port,
	};
	struct sock *sk = sock->sk;
	int err;

	if (to->port) {
		err = kernel_bind(sock, (struct sockaddr_unsized *)&sin,
				  sizeof(sin));
		if (err)
			return cr_refuse(info, AF_INET_CR_ATTR_LOCAL_PORT, err);
	}
	if (to->has_locks) {
		lock_sock(sk);
		sk->sk_userlocks &= ~CR_BIND_LOCKS;
		sk->sk_userlocks |= to->locks << CR_BIND_LOCK_SHIFT;
		release_sock(sk);
	}
	return 0;
}

/* What a message says that is more than a number. */
struct cr_image {
	struct cr_address local;
	struct cr_linger linger;
	long rcvtimeo;
	long sndtimeo;
	int ifindex;
};

/* Reads a message, and refuses what can be refused without a socket. */
static int cr_parse(struct genl_info *info, struct cr_image *image)
{
	static const struct {
		u16 attr;
		u32 value;
	} required[] = {
		{ AF_INET_CR_ATTR_SOCK_FAMILY, AF_INET },
		{ AF_INET_CR_ATTR_SOCK_TYPE, SOCK_DGRAM },
		{ AF_INET_CR_ATTR_SOCK_PROTOCOL, IPPROTO_UDP },
		{ AF_INET_CR_ATTR_SOCK_STATE, AF_INET_CR_SOCK_STATE_CLOSE },
	};
	int i, err;

	for (i = 0; i < ARRAY_SIZE(required); i++) {
		if (GENL_REQ_ATTR_CHECK(info, required[i].attr))
			return -EINVAL;
		if (nla_get_u32(info->attrs[required[i].attr]) !=
		    required[i].value)
			return cr_refuse(info, required[i].attr, -EOPNOTSUPP);
	}
	err = cr_parse_address(info, &image->local);
	if (err)
		return err;
	err = cr_parse_device(info, &image->ifindex);
	if (err)
		return err;
	err = cr_parse_linger(info, &image->linger);
	if (err)
		return err;
	err = cr_parse_time(info, AF_INET_CR_ATTR_SOCKOPT_RCVTIMEO,
			    &image->rcvtimeo);
	if (err)
		return err;
	return cr_parse_time(info, AF_INET_CR_ATTR_SOCKOPT_SNDTIMEO,
			     &image->sndtimeo);
}

static int cr_restore_state(struct socket *sock, struct genl_info *info,
			    const struct cr_image *image)
{
	struct sock *sk = sock->sk;
	int err;

	err = cr_restore_options(sock, info, cr_before, ARRAY_SIZE(cr_before));
	if (err)
		return err;
	if (cr_bound_dev(sk) != image->ifindex) {
		err = cr_set_int(sock, SO_BINDTOIFINDEX, image->ifindex);
		if (err)
			return cr_refuse(info,
					 AF_INET_CR_ATTR_SOCKOPT_BINDTODEVICE,
					 err);
	}
	err = cr_restore_timestamp(sock, info);
	if (err)
		return err;
	err = cr_restore_address(sock, info, &image->local);
	if (err)
		return err;
	err = cr_restore_buffers(sock, info);
	if (err)
		return err;
	err = cr_restore_options(sock, info, cr_after, ARRAY_SIZE(cr_after));
	if (err)
		return err;
	err = cr_restore_linger(sock, &image->linger);
	if (err)
		return cr_refuse(info, AF_INET_CR_ATTR_SOCKOPT_LINGER, err);
	err = cr_restore_time(sock, SO_RCVTIMEO_NEW, READ_ONCE(sk->sk_rcvtimeo),
			      image->rcvtimeo);
	if (err)
		return cr_refuse(info, AF_INET_CR_ATTR_SOCKOPT_RCVTIMEO, err);
	err = cr_restore_time(sock, SO_SNDTIMEO_NEW, READ_ONCE(sk->sk_sndtimeo),
			      image->sndtimeo);
	if (err)
		return cr_refuse(info, AF_INET_CR_ATTR_SOCKOPT_SNDTIMEO, err);
	return 0;
}

/* A program of the cgroup may have changed what was set. */
static int cr_verify_state(struct socket *sock, struct genl_info *info,
			   const struct cr_image *image)
{
	struct sock *sk = sock->sk;
	int err;

	if (inet_sk(sk)->inet_rcv_saddr != image->local.addr ||
	    inet_sk(sk)->inet_sport != image->local.port) {
		GENL_SET_ERR_MSG(info, "the local address became another one");
		return -EADDRNOTAVAIL;
	}
	err = cr_verify_options(sock, info, cr_before, ARRAY_SIZE(cr_before));
	if (!err)
		err = cr_verify_options(sock, info, cr_after,
					ARRAY_SIZE(cr_after));
	if (!err)
		err = cr_verify(info, AF_INET_CR_ATTR_SOCKOPT_TIMESTAMP,
				cr_timestamp(sk));
	if (!err)
		err = cr_verify(info, AF_INET_CR_ATTR_SOCKOPT_SNDBUF,
				cr_sndbuf(sk));
	if (!err)
		err = cr_verify(info, AF_INET_CR_ATTR_SOCKOPT_RCVBUF,
				cr_rcvbuf(sk));
	if (!err)
		err = cr_verify(info, AF_INET_CR_ATTR_SOCKOPT_SNDBUF_ULOCK,
				cr_sndbuf_ulock(sk));
	if (!err)
		err = cr_verify(info, AF_INET_CR_ATTR_SOCKOPT_RCVBUF_ULOCK,
				cr_rcvbuf_ulock(sk));
	if (err)
		return err;
	if (cr_bound_dev(sk) != image->ifindex ||
	    !cr_has_linger(sk, &image->linger) ||
	    READ_ONCE(sk->sk_rcvtimeo) != image->rcvtimeo ||
	    READ_ONCE(sk->sk_sndtimeo) != image->sndtimeo) {
		GENL_SET_ERR_MSG(info, "an option became another value");
		return -EPERM;
	}
	return 0;
}

/* Gives the socket to the requester; it is gone if that fails. */
static int cr_hand_out(struct socket *sock, struct genl_info *info)
{
	struct sk_buff *msg;
	struct file *file;
	void *hdr;
	int fd, err;

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0) {
		sock_release(sock);
		return fd;
	}
	msg = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!msg) {
		err = -ENOMEM;
		goto err_release;
	}
	hdr = genlmsg_iput(msg, info);
	if (!hdr || cr_put_identity(msg, sock->sk) ||
	    nla_put_u32(msg, AF_INET_CR_ATTR_SOCK_FD, fd)) {
		err = -EMSGSIZE;
		goto err_free;
	}
	genlmsg_end(msg, hdr);

	/* The socket is the file's from here on, also if there is none. */
	file = sock_alloc_file(sock, 0, NULL);
	if (IS_ERR(file)) {
		nlmsg_free(msg);
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	/* Nothing may fail once there is something behind the descriptor. */
	err = genlmsg_reply(msg, info);
	if (err) {
		fput(file);
		put_unused_fd(fd);
		return err;
	}
	fd_install(fd, file);
	return 0;

err_free:
	nlmsg_free(msg);
err_release:
	sock_release(sock);
	put_unused_fd(fd);
	return err;
}

static int cr_restore(struct sk_buff *skb, struct genl_info *info)
{
	struct cr_image image;
	struct socket *sock;
	int err;

	err = cr_admit(skb, info);
	if (err)
		return err;
	err = cr_parse(info, &image);
	if (err)
		return err;
	err = __sock_create(genl_info_net(info), AF_INET, SOCK_DGRAM,
			    IPPROTO_UDP, &sock, 0);
	if (err)
		return err;

	err = cr_restore_state(sock, info, &image);
	if (!err) {
		lock_sock(sock->sk);
		err = cr_verify_state(sock, info, &image);
		release_sock(sock->sk);
	}
	if (err) {
		sock_release(sock);
		return err;
	}
	return cr_hand_out(sock, info);
}

/* As long as the table of the other family: the core looks at each entry. */
static const struct nla_policy
cr_dump_policy[AF_INET_CR_ATTR_ALLOW_LOST + 1] = {
	[AF_INET_CR_ATTR_SOCK_FD]	= { .type = NLA_U32 },
	[AF_INET_CR_ATTR_COOKIE]	= { .type = NLA_UINT },
	[AF_INET_CR_ATTR_ALLOW_LOST]	= NLA_POLICY_RANGE(NLA_U32, 0, 0),
};

#define CR_BOOL		NLA_POLICY_RANGE(NLA_U32, 0, 1)

static const struct nla_policy cr_restore_policy[AF_INET_CR_ATTR_MAX + 1] = {
	[AF_INET_CR_ATTR_INODE]			= { .type = NLA_UINT },
	[AF_INET_CR_ATTR_SOCK_STATE]		= NLA_POLICY_RANGE(NLA_U32, 1, 7),
	[AF_INET_CR_ATTR_SOCK_TYPE]		= { .type = NLA_U32 },
	[AF_INET_CR_ATTR_SOCKOPT_BINDTODEVICE]	= {
		.type = NLA_NUL_STRING,
		.len = IFNAMSIZ - 1,
	},
	[AF_INET_CR_ATTR_SOCKOPT_BROADCAST]	= CR_BOOL,
	[AF_INET_CR_ATTR_SOCKOPT_DEBUG]		= CR_BOOL,
	[AF_INET_CR_ATTR_SOCKOPT_DONTROUTE]	= CR_BOOL,
	[AF_INET_CR_ATTR_SOCKOPT_KEEPALIVE]	= CR_BOOL,
	[AF_INET_CR_ATTR_SOCKOPT_LINGER]	= NLA_POLICY_NESTED(cr_linger_policy),
	[AF_INET_CR_ATTR_SOCKOPT_OOBINLINE]	= CR_BOOL,
	[AF_INET_CR_ATTR_SOCKOPT_PRIORITY]	= { .type = NLA_U32 },
	[AF_INET_CR_ATTR_SOCKOPT_RCVLOWAT]	= NLA_POLICY_MIN(NLA_U32, 1),
	[AF_INET_CR_ATTR_SOCKOPT_RCVTIMEO]	= { .type = NLA_SINT },
	[AF_INET_CR_ATTR_SOCKOPT_SNDTIMEO]	= { .type = NLA_SINT },
	[AF_INET_CR_ATTR_SOCKOPT_RCVBUF]	= NLA_POLICY_MIN(NLA_U32, 1),
	[AF_INET_CR_ATTR_SOCKOPT_REUSEADDR]	= CR_BOOL,
	[AF_INET_CR_ATTR_SOCKOPT_SNDBUF]	= NLA_POLICY_MIN(NLA_U32, 1),
	[AF_INET_CR_ATTR_SOCKOPT_TIMESTAMP]	=
		NLA_POLICY_MAX(NLA_U32, AF_INET_CR_TIMESTAMP_NS_NEW),
	[AF_INET_CR_ATTR_SOCKOPT_SNDBUF_ULOCK]	= CR_BOOL,
	[AF_INET_CR_ATTR_SOCKOPT_RCVBUF_ULOCK]	= CR_BOOL,
	[AF_INET_CR_ATTR_SOCK_FAMILY]		= { .type = NLA_U32 },
	[AF_INET_CR_ATTR_SOCK_PROTOCOL]		= { .type = NLA_U32 },
	[AF_INET_CR_ATTR_LOCAL_ADDR]		= NLA_POLICY_EXACT_LEN(4),
	[AF_INET_CR_ATTR_LOCAL_PORT]		= { .type = NLA_BE16 },
	[AF_INET_CR_ATTR_BIND_LOCKS]		=
		NLA_POLICY_MASK(NLA_U32, AF_INET_CR_BIND_LOCK_ADDR |
					 AF_INET_CR_BIND_LOCK_PORT),
};

static const struct genl_split_ops cr_ops[] = {
	{
		.cmd		= AF_INET_CR_CMD_DUMP,
		.doit		= cr_dump,
		.policy		= cr_dump_policy,
		.maxattr	= AF_INET_CR_ATTR_ALLOW_LOST,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= AF_INET_CR_CMD_RESTORE,
		.doit		= cr_restore,
		.policy		= cr_restore_policy,
		.maxattr	= AF_INET_CR_ATTR_MAX,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
};

static struct genl_family cr_genl_family = {
	.name		= CR_C_FAMILY_NAME,
	.version	= AF_INET_CR_FAMILY_VERSION,
	.netnsok	= true,
	.split_ops	= cr_ops,
	.n_split_ops	= ARRAY_SIZE(cr_ops),
	.module		= THIS_MODULE,
};

static int __init af_inet_cr_c_init(void)
{
	return genl_register_family(&cr_genl_family);
}
module_init(af_inet_cr_c_init);

static void __exit af_inet_cr_c_exit(void)
{
	genl_unregister_family(&cr_genl_family);
}
module_exit(af_inet_cr_c_exit);

MODULE_DESCRIPTION("Checkpoint and restore of UDP sockets in C, for the benchmark of af_inet_cr");
MODULE_AUTHOR("The af_inet_cr authors");
MODULE_LICENSE("GPL");
