package cibxml

import (
	"math"

	"github.com/quorate/quorate/crm/cib"
)

func (d *decoder) status() {
	d.onlyAttributes()
	st := &d.doc.Status
	for d.child() {
		switch string(d.name) {
		case "node_state":
			d.nodeState()
		case "tickets":
			d.onlyAttributes()
			for d.child() {
				if string(d.name) == "ticket_state" {
					d.ticketState()
				} else {
					d.unknown(&st.Extra)
				}
			}
		default:
			d.unknown(&st.Extra)
		}
	}
}

func (d *decoder) ticketState() {
	var t cib.TicketState
	for i := range d.attrs {
		a := &d.attrs[i]
		switch string(a.name) {
		case "id":
			t.ID = d.str(a)
		case "granted":
			t.Granted = d.str(a)
		case "standby":
			t.Standby = d.str(a)
		case "last-granted":
			t.LastGranted = d.str(a)
		default:
			d.extra(&t.Extra, a)
		}
	}
	d.leaf()
	d.doc.Status.Tickets = append(d.doc.Status.Tickets, t)
}

func nodeStateField(n *cib.NodeState, name string) *string {
	switch name {
	case "id":
		return &n.ID
	case "uname":
		return &n.Name
	case "in_ccm":
		return &n.InCCM
	case "crmd":
		return &n.CRMD
	case "crm-debug-origin":
		return &n.Origin
	case "join":
		return &n.Join
	case "expected":
		return &n.Expected
	case "remote_node":
		return &n.RemoteNode
	case "node_fenced":
		return &n.NodeFenced
	case "node_in_maintenance":
		return &n.NodeInMaintenance
	case "connection_host":
		return &n.ConnectionHost
	}
	return nil
}

// nodeStateNames are the attributes of a node state in the order of writing.
var nodeStateNames = []string{"remote_node", "id", "uname", "node_fenced", "node_in_maintenance", "connection_host", "in_ccm", "crmd", "crm-debug-origin", "join", "expected"}

func (d *decoder) nodeState() {
	var n cib.NodeState
	for i := range d.attrs {
		a := &d.attrs[i]
		if f := nodeStateField(&n, string(a.name)); f != nil {
			*f = d.str(a)
		} else {
			d.extra(&n.Extra, a)
		}
	}
	for d.child() {
		switch string(d.name) {
		case "transient_attributes":
			d.onlyAttributes("id")
			for d.child() {
				switch string(d.name) {
				case "instance_attributes":
					d.attributeSet(&n.Attributes)
				case "utilization":
					d.attributeSet(&n.Utilization)
				default:
					d.skip("is not known among transient attributes and is ignored")
				}
			}
		case "lrm":
			n.HasHistory = true
			d.onlyAttributes("id")
			for d.child() {
				if string(d.name) != "lrm_resources" {
					d.skip("is not known in an operation history and is ignored")
					continue
				}
				d.histories = d.histories[:0]
				for d.child() {
					if string(d.name) == "lrm_resource" {
						d.history()
					} else {
						d.skip("is not known in an operation history and is ignored")
					}
				}
				n.History = append(n.History, d.histories...)
			}
		default:
			d.skip("is not known in a node state and is ignored")
		}
	}
	d.doc.Status.Nodes = append(d.doc.Status.Nodes, n)
}

func (d *decoder) history() {
	var h cib.ResourceHistory
	for i := range d.attrs {
		a := &d.attrs[i]
		switch string(a.name) {
		case "id":
			h.ID = d.str(a)
		case "class":
			h.Class = d.str(a)
		case "provider":
			h.Provider = d.str(a)
		case "type":
			h.Type = d.str(a)
		case "container":
			h.Container = d.str(a)
		case "shutdown-lock":
			h.ShutdownLock = d.str(a)
		default:
			d.extra(&h.Extra, a)
		}
	}
	d.ops = d.ops[:0]
	for d.child() {
		if string(d.name) == "lrm_rsc_op" {
			d.historyOp()
		} else {
			d.skip("is not known in the history of a resource and is ignored")
		}
	}
	if n := len(d.ops); n > 0 {
		// Histories are many and short: slices of common arrays spare an allocation each.
		if len(d.opArena) < n {
			d.opArena = make([]cib.HistoryOp, max(n, 256))
		}
		h.Operations = d.opArena[:n:n]
		d.opArena = d.opArena[n:]
		copy(h.Operations, d.ops)
	}
	d.histories = append(d.histories, h)
}

func (d *decoder) historyOp() {
	d.ops = append(d.ops, cib.HistoryOp{
		CallID: -1, RC: cib.NoRC, Status: cib.NoStatus,
		LastRCChange: -1, LastRun: -1, ExecTime: -1, QueueTime: -1,
	})
	o := &d.ops[len(d.ops)-1]
	for i := range d.attrs {
		a := &d.attrs[i]
		switch string(a.name) {
		case "id":
			o.ID = d.str(a)
		case "operation_key":
			o.Key = d.str(a)
		case "operation":
			o.Operation = d.str(a)
		case "interval":
			o.Interval = d.number(a, 0)
		case "call-id":
			o.CallID = d.number(a, -1)
		case "rc-code":
			o.RC = int(clip32(d.number(a, cib.NoRC)))
		case "op-status":
			o.Status = int(clip32(d.number(a, cib.NoStatus)))
		case "transition-key":
			o.TransitionKey = d.str(a)
		case "transition-magic":
			o.TransitionMagic = d.str(a)
		case "exit-reason":
			o.ExitReason = d.str(a)
		case "on_node":
			o.OnNode = d.str(a)
		case "last-rc-change":
			o.LastRCChange = d.number(a, -1)
		case "last-run":
			o.LastRun = d.number(a, -1)
		case "exec-time":
			o.ExecTime = d.number(a, -1)
		case "queue-time":
			o.QueueTime = d.number(a, -1)
		case "migrate_source":
			o.MigrateSource = d.str(a)
		case "migrate_target":
			o.MigrateTarget = d.str(a)
		case "op-digest":
			o.OpDigest = d.str(a)
		case "op-restart-digest":
			o.RestartDigest = d.str(a)
		case "op-force-restart":
			o.ForceRestart = d.str(a)
		case "op-secure-digest":
			o.SecureDigest = d.str(a)
		case "op-secure-params":
			o.SecureParams = d.str(a)
		case "crm_feature_set":
			o.FeatureSet = d.str(a)
		case "crm-debug-origin":
			o.Origin = d.str(a)
		default:
			d.extra(&o.Extra, a)
		}
	}
	d.leaf()
}

func clip32(n int64) int64 { return min(max(n, math.MinInt32), math.MaxInt32) }

// number reads a number; what is none is absent, with a warning.
func (d *decoder) number(a *attr, absent int64) int64 {
	// Nearly all are short plain digits.
	if n := len(a.value); n > 0 && n <= 18 {
		var v int64
		for _, c := range a.value {
			if c < '0' || c > '9' {
				v = -1
				break
			}
			v = v*10 + int64(c-'0')
		}
		if v >= 0 {
			return v
		}
	}
	v, err := cib.ParseInteger(d.str(a))
	if err != nil {
		d.warn(d.elementPath(), "%s=%q is no number and counts as absent", a.name, bounded(string(a.value)))
		return absent
	}
	return v
}
