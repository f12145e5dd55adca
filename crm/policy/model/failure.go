package model

import "time"

// NodeAttribute is one attribute of a node.
type NodeAttribute struct{ Name, Value string }

// RecheckUnix is Recheck for a time in seconds since 1970.
func (c *Cluster) RecheckUnix(seconds int64) { c.Recheck(time.Unix(seconds, 0).UTC()) }

// Truncate forgets the resources that were added after the first count ones, as when a collective turns out
// to be unusable half-way.
func (c *Cluster) Truncate(count int) {
	for _, r := range c.All[count:] {
		if c.byID[r.ID] == r {
			delete(c.byID, r.ID)
		}
	}
	c.All = c.All[:count]
}
