// SPDX-License-Identifier: GPL-2.0

#include <linux/spinlock.h>

__rust_helper void rust_helper_read_lock_bh(rwlock_t *lock)
{
	read_lock_bh(lock);
}

__rust_helper void rust_helper_read_unlock_bh(rwlock_t *lock)
{
	read_unlock_bh(lock);
}

__rust_helper void rust_helper_read_lock_irq(rwlock_t *lock)
{
	read_lock_irq(lock);
}

__rust_helper void rust_helper_read_unlock_irq(rwlock_t *lock)
{
	read_unlock_irq(lock);
}
