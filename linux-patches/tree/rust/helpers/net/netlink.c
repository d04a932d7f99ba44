// SPDX-License-Identifier: GPL-2.0

#include <linux/fs.h>
#include <linux/net.h>
#include <linux/netlink.h>
#include <net/genetlink.h>
#include <net/netlink.h>
#include <net/sock.h>

#ifdef CONFIG_NET

/*
 * Who opened the netlink socket; NULL if the sender has named the destination,
 * and so cannot have been led to write to the socket without knowing it, see
 * __netlink_ns_capable().
 */
__rust_helper
const struct cred *rust_helper_netlink_skb_opener_cred(const struct sk_buff *skb)
{
	if (NETLINK_CB(skb).flags & NETLINK_SKB_DST)
		return NULL;
	return NETLINK_CB(skb).sk->sk_socket->file->f_cred;
}

__rust_helper struct net *rust_helper_genl_info_net(const struct genl_info *info)
{
	return genl_info_net(info);
}

__rust_helper
void *rust_helper_genlmsg_iput(struct sk_buff *skb, const struct genl_info *info)
{
	return genlmsg_iput(skb, info);
}

__rust_helper
void rust_helper_genl_dump_check_consistent(struct netlink_callback *cb,
					    void *user_hdr)
{
	genl_dump_check_consistent(cb, user_hdr);
}

__rust_helper
int rust_helper_genlmsg_reply(struct sk_buff *skb, struct genl_info *info)
{
	return genlmsg_reply(skb, info);
}

/*
 * nla_put() for a linear skb, in one piece: the functions that nla_put() calls
 * take more than twice as long. Returns whether there is room.
 */
__rust_helper
bool rust_helper_nla_put_linear(struct sk_buff *skb, int attrtype, int attrlen,
				const void *data)
{
	struct nlattr *nla;

	if (unlikely(skb_tailroom(skb) < nla_total_size(attrlen)))
		return false;

	nla = __skb_put(skb, nla_total_size(attrlen));
	nla->nla_type = attrtype;
	nla->nla_len = nla_attr_size(attrlen);
	if (attrlen == sizeof(u32)) {
		memcpy(nla_data(nla), data, sizeof(u32));
		return true;
	}
	/* The padding is in the last word. */
	if (nla_padlen(attrlen))
		memset(nla_data(nla) + NLA_ALIGN(attrlen) - NLA_ALIGNTO, 0,
		       NLA_ALIGNTO);
	memcpy(nla_data(nla), data, attrlen);
	return true;
}

__rust_helper
struct nlattr *rust_helper_nla_nest_start(struct sk_buff *skb, int attrtype)
{
	return nla_nest_start(skb, attrtype);
}

__rust_helper
int rust_helper_nla_nest_end_safe(struct sk_buff *skb, struct nlattr *start)
{
	return nla_nest_end_safe(skb, start);
}

__rust_helper
void rust_helper_nla_nest_cancel(struct sk_buff *skb, struct nlattr *start)
{
	nla_nest_cancel(skb, start);
}

__rust_helper int rust_helper_skb_tailroom(const struct sk_buff *skb)
{
	return skb_tailroom(skb);
}

#endif
