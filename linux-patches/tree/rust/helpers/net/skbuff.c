// SPDX-License-Identifier: GPL-2.0

#include <linux/ip.h>
#include <linux/skbuff.h>
#include <linux/udp.h>
#include <net/dst.h>
#include <net/ip_fib.h>
#include <net/route.h>
#include <net/sock.h>

#ifdef CONFIG_NET

__rust_helper struct iphdr *rust_helper_ip_hdr(const struct sk_buff *skb)
{
	return ip_hdr(skb);
}

__rust_helper struct udphdr *rust_helper_udp_hdr(const struct sk_buff *skb)
{
	return udp_hdr(skb);
}

__rust_helper struct sk_buff *rust_helper_skb_get(struct sk_buff *skb)
{
	return skb_get(skb);
}

__rust_helper bool rust_helper_skb_shared(const struct sk_buff *skb)
{
	return skb_shared(skb);
}

__rust_helper bool rust_helper_skb_csum_unnecessary(const struct sk_buff *skb)
{
	return skb_csum_unnecessary(skb);
}

__rust_helper struct skb_shared_hwtstamps *rust_helper_skb_hwtstamps(struct sk_buff *skb)
{
	return skb_hwtstamps(skb);
}

__rust_helper unsigned int rust_helper_skb_headroom(const struct sk_buff *skb)
{
	return skb_headroom(skb);
}

__rust_helper int rust_helper_skb_network_offset(const struct sk_buff *skb)
{
	return skb_network_offset(skb);
}

__rust_helper bool rust_helper_skb_transport_header_was_set(const struct sk_buff *skb)
{
	return skb_transport_header_was_set(skb);
}

__rust_helper int rust_helper_skb_transport_offset(const struct sk_buff *skb)
{
	return skb_transport_offset(skb);
}

__rust_helper bool rust_helper_skb_wifi_acked_valid(const struct sk_buff *skb)
{
	return skb_wifi_acked_valid(skb);
}

__rust_helper void rust_helper___skb_queue_after(struct sk_buff_head *list,
						 struct sk_buff *prev,
						 struct sk_buff *newsk)
{
	__skb_queue_after(list, prev, newsk);
}

__rust_helper void rust_helper___skb_unlink(struct sk_buff *skb,
					    struct sk_buff_head *list)
{
	__skb_unlink(skb, list);
}

__rust_helper struct skb_shared_info *rust_helper_skb_shinfo(const struct sk_buff *skb)
{
	return skb_shinfo(skb);
}

__rust_helper void rust_helper_skb_reset_network_header(struct sk_buff *skb)
{
	skb_reset_network_header(skb);
}

__rust_helper void rust_helper_skb_reset_transport_header(struct sk_buff *skb)
{
	skb_reset_transport_header(skb);
}

__rust_helper bool rust_helper_skb_get_dst_pending_confirm(const struct sk_buff *skb)
{
	return skb_get_dst_pending_confirm(skb);
}

__rust_helper void rust_helper_skb_set_transport_header(struct sk_buff *skb, const int offset)
{
	skb_set_transport_header(skb, offset);
}

__rust_helper struct ubuf_info *rust_helper_skb_zcopy(struct sk_buff *skb)
{
	return skb_zcopy(skb);
}

__rust_helper struct sock_skb_cb *rust_helper_SOCK_SKB_CB(struct sk_buff *skb)
{
	return SOCK_SKB_CB(skb);
}

__rust_helper struct xfrm_state *rust_helper_dst_xfrm(const struct dst_entry *dst)
{
	return dst_xfrm(dst);
}

/*
 * What follows has no function in C. These are members of unions without a
 * name, and bits: Rust only reaches them by names that change with the
 * configuration.
 */

__rust_helper void rust_helper_skb_marks(const struct sk_buff *skb, u32 *mark, u32 *priority,
					 bool *peeked)
{
	*mark = skb->mark;
	*priority = skb->priority;
	*peeked = skb->peeked;
}

__rust_helper void rust_helper_skb_set_marks(struct sk_buff *skb, u32 mark, u32 priority,
					     bool peeked)
{
	skb->mark = mark;
	skb->priority = priority;
	skb->peeked = peeked;
}

__rust_helper bool rust_helper_skb_csum_complete(const struct sk_buff *skb, u32 *csum)
{
	*csum = (__force u32)skb->csum;
	return skb->ip_summed == CHECKSUM_COMPLETE;
}

__rust_helper void rust_helper_skb_set_csum_complete(struct sk_buff *skb, u32 csum)
{
	skb->csum = (__force __wsum)csum;
	skb->csum_valid = 1;
	skb->ip_summed = CHECKSUM_COMPLETE;
}

__rust_helper void rust_helper_skb_set_csum_unnecessary(struct sk_buff *skb)
{
	skb->ip_summed = CHECKSUM_UNNECESSARY;
}

/* The device may go, and another one take its place, at any time. */
__rust_helper int rust_helper_dst_ifindex(const struct dst_entry *dst)
{
	int ifindex;

	rcu_read_lock();
	ifindex = READ_ONCE(dst_dev_rcu(dst)->ifindex);
	rcu_read_unlock();

	return ifindex;
}

/* Of a route of IPv4. One with a PMTU of its own has a rt_gw4, and no gateway. */
__rust_helper bool rust_helper_dst_has_gateway(const struct dst_entry *dst)
{
	return dst_rtable(dst)->rt_uses_gateway;
}

#ifdef CONFIG_INET
/*
 * Whether a route of IPv4 is of the kind that a packet of this socket with a mark
 * has to an address: groups and broadcasts have their own, which differ in more
 * than where they lead to. If there is no route, it may have been one to a
 * broadcast address that is gone.
 */
__rust_helper
bool rust_helper_dst_is_for(const struct dst_entry *dst, const struct sock *sk,
			    u32 mark, __be32 addr)
{
	unsigned int rt_type = dst_rtable(dst)->rt_type, type = RTN_UNSPEC;
	struct fib_result res;
	struct flowi4 fl4;

	if (ipv4_is_multicast(addr)) {
		type = RTN_MULTICAST;
	} else if (ipv4_is_lbcast(addr)) {
		type = RTN_BROADCAST;
	} else {
		rcu_read_lock();
		flowi4_init_output(&fl4, READ_ONCE(dst_dev_rcu(dst)->ifindex), mark, 0,
				   RT_SCOPE_UNIVERSE, IPPROTO_UDP, 0, addr, 0, 0, 0,
				   sk_uid(sk));
		if (!fib_lookup(sock_net(sk), &fl4, &res, 0))
			type = res.type;
		rcu_read_unlock();
		if (type == RTN_UNSPEC)
			return rt_type != RTN_MULTICAST;
	}

	if (type == RTN_MULTICAST || type == RTN_BROADCAST)
		return rt_type == type;
	return rt_type != RTN_MULTICAST && rt_type != RTN_BROADCAST;
}
#endif

__rust_helper u16 rust_helper_skb_protocol_of(const struct sk_buff *skb)
{
	return ntohs(skb->protocol);
}

__rust_helper void rust_helper_skb_set_protocol(struct sk_buff *skb, u16 protocol)
{
	skb->protocol = htons(protocol);
}

#endif
