package cibxml

import (
	"math"
	"strconv"

	"github.com/quorate/quorate/crm/cib"
)

func (w *writer) status(st *cib.Status) {
	w.start("status")
	for i := range st.Nodes {
		w.nodeState(&st.Nodes[i])
	}
	extra := 0
	for i := range st.Extra {
		if st.Extra[i].Parent == "status/tickets" {
			extra++
		}
	}
	if len(st.Tickets)+extra > 0 {
		w.start("tickets")
		for i := range st.Tickets {
			t := &st.Tickets[i]
			w.start("ticket_state")
			w.opt("id", t.ID)
			w.opt("granted", t.Granted)
			w.opt("standby", t.Standby)
			w.opt("last-granted", t.LastGranted)
			w.attrs(t.Extra)
			w.end("ticket_state")
		}
		w.unknown(st.Extra, "status/tickets")
		w.end("tickets")
	}
	w.unknown(st.Extra, "status")
	w.end("status")
}

func (w *writer) nodeState(n *cib.NodeState) {
	w.start("node_state")
	for _, name := range nodeStateNames {
		w.opt(name, *nodeStateField(n, name))
	}
	w.attrs(n.Extra)
	if len(n.Attributes)+len(n.Utilization) > 0 {
		w.start("transient_attributes")
		w.opt("id", n.ID)
		w.sets("instance_attributes", n.Attributes)
		w.sets("utilization", n.Utilization)
		w.end("transient_attributes")
	}
	if n.HasHistory || len(n.History) > 0 {
		w.start("lrm")
		w.opt("id", n.ID)
		w.start("lrm_resources")
		for i := range n.History {
			h := &n.History[i]
			w.start("lrm_resource")
			w.opt("id", h.ID)
			w.opt("class", h.Class)
			w.opt("provider", h.Provider)
			w.opt("type", h.Type)
			w.opt("container", h.Container)
			w.opt("shutdown-lock", h.ShutdownLock)
			w.attrs(h.Extra)
			for j := range h.Operations {
				w.historyOp(&h.Operations[j])
			}
			w.end("lrm_resource")
		}
		w.end("lrm_resources")
		w.end("lrm")
	}
	w.end("node_state")
}

// statusPending is the op-status of an operation that is under way.
const statusPending = -1

func (w *writer) historyOp(o *cib.HistoryOp) {
	w.start("lrm_rsc_op")
	w.opt("id", o.ID)
	w.opt("operation_key", o.Key)
	w.opt("operation", o.Operation)
	w.opt("crm-debug-origin", o.Origin)
	w.opt("crm_feature_set", o.FeatureSet)
	w.opt("transition-key", o.TransitionKey)
	w.opt("transition-magic", o.TransitionMagic)
	w.opt("exit-reason", o.ExitReason)
	w.opt("on_node", o.OnNode)
	absent := int64(-1)
	if o.Status == statusPending {
		absent = math.MinInt64 // what is under way has -1, and says so
	}
	w.number("call-id", o.CallID, absent)
	w.number("rc-code", int64(o.RC), cib.NoRC)
	w.number("op-status", int64(o.Status), cib.NoStatus)
	w.number("interval", o.Interval, math.MinInt64) // always there
	w.number("last-rc-change", o.LastRCChange, -1)
	w.number("last-run", o.LastRun, -1)
	w.number("exec-time", o.ExecTime, -1)
	w.number("queue-time", o.QueueTime, -1)
	w.opt("migrate_source", o.MigrateSource)
	w.opt("migrate_target", o.MigrateTarget)
	w.opt("op-digest", o.OpDigest)
	w.opt("op-force-restart", o.ForceRestart)
	w.opt("op-restart-digest", o.RestartDigest)
	w.opt("op-secure-params", o.SecureParams)
	w.opt("op-secure-digest", o.SecureDigest)
	w.attrs(o.Extra)
	w.end("lrm_rsc_op")
}

// number writes a number that is not absent.
func (w *writer) number(name string, n, absent int64) {
	if n == absent {
		return
	}
	var digits [20]byte
	w.WriteByte(' ')
	w.WriteString(name)
	w.WriteString(`="`)
	w.Write(strconv.AppendInt(digits[:0], n, 10))
	w.WriteByte('"')
}
