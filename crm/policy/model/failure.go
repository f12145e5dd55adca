package model

import "time"

// NodeAttribute is one attribute of a node.
type NodeAttribute struct{ Name, Value string }

// RecheckUnix is Recheck for a time in seconds since 1970.
func (c *Cluster) RecheckUnix(seconds int64) { c.Recheck(time.Unix(seconds, 0).UTC()) }
