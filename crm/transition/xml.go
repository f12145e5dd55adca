package transition

import (
	"strconv"
	"strings"
)

// XML returns the graph in Pacemaker's form: two spaces a level, attributes in the order of
// spec/05-ordering.md section 9, no XML declaration.
func (g *Graph) XML() []byte {
	var b builder
	b.open(0, "transition_graph")
	b.attr("cluster-delay", g.ClusterDelay)
	b.attr("fencing-timeout", g.FencingTimeout)
	b.attr("failed-stop-offset", g.FailedStopOffset)
	b.attr("failed-start-offset", g.FailedStartOffset)
	b.attr("batch-limit", g.BatchLimit)
	b.attr("transition_id", strconv.Itoa(g.TransitionID))
	if g.MigrationLimit != "" {
		b.attr("migration-limit", g.MigrationLimit)
	}
	if g.RecheckBy != 0 {
		b.attr("recheck-by", strconv.FormatInt(g.RecheckBy, 10))
	}
	if len(g.Synapses) == 0 {
		b.text("/>\n")
		return []byte(b.String())
	}
	b.text(">\n")
	for i := range g.Synapses {
		s := &g.Synapses[i]
		b.open(1, "synapse")
		b.attr("id", strconv.Itoa(i))
		if s.Priority > 0 {
			b.attr("priority", strconv.Itoa(int(s.Priority)))
		}
		b.text(">\n    <action_set>\n")
		b.action(3, &s.Action, true)
		b.text("    </action_set>\n")
		if len(s.Inputs) == 0 {
			b.text("    <inputs/>\n")
		} else {
			b.text("    <inputs>\n")
			for _, in := range s.Inputs {
				a := in.Action
				if in.Synapse >= 0 {
					a = &g.Synapses[in.Synapse].Action
				}
				b.text("      <trigger>\n")
				b.action(4, a, false)
				b.text("      </trigger>\n")
			}
			b.text("    </inputs>\n")
		}
		b.text("  </synapse>\n")
	}
	b.text("</transition_graph>\n")
	return []byte(b.String())
}

type builder struct{ strings.Builder }

func (b *builder) text(s string) { b.WriteString(s) }

func (b *builder) open(depth int, name string) {
	for range depth {
		b.WriteString("  ")
	}
	b.WriteByte('<')
	b.WriteString(name)
}

func (b *builder) attr(name, value string) {
	b.WriteByte(' ')
	b.WriteString(name)
	b.WriteString(`="`)
	EscapeAttr(&b.Builder, value)
	b.WriteByte('"')
}

func (b *builder) action(depth int, a *Action, full bool) {
	element := [...]string{ResourceOp: "rsc_op", PseudoEvent: "pseudo_event", ClusterOp: "crm_event"}[a.Kind]
	b.open(depth, element)
	if a.Mode != "" {
		b.attr("mode", a.Mode)
	}
	b.attr("id", strconv.Itoa(a.Number))
	b.attr("operation", a.Task)
	b.attr("operation_key", a.Key)
	if a.InternalKey != "" {
		b.attr("internal_operation_key", a.InternalKey)
	}
	if a.Node != "" {
		b.attr("on_node", a.Node)
		b.attr("on_node_uuid", a.NodeID)
		if a.Router != "" {
			b.attr("router_node", a.Router)
		}
	}
	if !full {
		b.text("/>\n")
		return
	}
	if a.ShutdownLock != 0 {
		b.attr("shutdown-lock", strconv.FormatInt(a.ShutdownLock, 10))
	}
	b.text(">\n")
	if r := a.Resource; r != nil && a.Kind != PseudoEvent {
		b.open(depth+1, r.Element)
		b.attr("id", r.ID)
		if r.LongID != "" {
			b.attr("long-id", r.LongID)
		}
		for _, x := range [...]Attr{{"class", r.Class}, {"provider", r.Provider}, {"type", r.Type}} {
			if x.Value != "" {
				b.attr(x.Name, x.Value)
			}
		}
		b.text("/>\n")
	}
	b.open(depth+1, "attributes")
	for x := range a.All() {
		b.attr(x.Name, x.Value)
	}
	if len(a.Parameters) == 0 {
		b.text("/>\n")
	} else {
		b.text(">\n")
		for _, x := range a.Parameters {
			b.open(depth+2, "param")
			b.attr("name", x.Name)
			b.attr("value", x.Value)
			b.text("/>\n")
		}
		b.close(depth+1, "attributes")
	}
	if len(a.Downed) > 0 {
		b.open(depth+1, "downed")
		b.text(">\n")
		for _, id := range a.Downed {
			b.open(depth+2, "node")
			b.attr("id", id)
			b.text("/>\n")
		}
		b.close(depth+1, "downed")
	}
	if len(a.Maintenance) > 0 {
		b.open(depth+1, "maintenance")
		b.text(">\n")
		for _, n := range a.Maintenance {
			b.open(depth+2, "node")
			b.attr("id", n.ID)
			value := "0"
			if n.Maintenance {
				value = "1"
			}
			b.attr("node_in_maintenance", value)
			b.text("/>\n")
		}
		b.close(depth+1, "maintenance")
	}
	b.close(depth, element)
}

func (b *builder) close(depth int, name string) {
	for range depth {
		b.WriteString("  ")
	}
	b.WriteString("</")
	b.WriteString(name)
	b.WriteString(">\n")
}

// EscapeAttr writes value as the text of an XML attribute in double quotes: the markup characters as
// entities, control characters as two-digit hexadecimal references (spec/04-actions.md 3.5).
func EscapeAttr(b *strings.Builder, value string) {
	start := 0
	for i := 0; i < len(value); i++ {
		var ref string
		switch c := value[i]; {
		case c == '<':
			ref = "&lt;"
		case c == '>':
			ref = "&gt;"
		case c == '&':
			ref = "&amp;"
		case c == '"':
			ref = "&quot;"
		case c < 0x20:
			const hex = "0123456789ABCDEF"
			ref = "&#x" + string([]byte{hex[c>>4], hex[c&15]}) + ";"
		default:
			continue
		}
		b.WriteString(value[start:i])
		b.WriteString(ref)
		start = i + 1
	}
	b.WriteString(value[start:])
}
