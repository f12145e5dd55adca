package command

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/crm/cib"
)

// AttributeState is what the document does not show of a transient node attribute: its dampening, values that wait
// for it to end, and the values of a private attribute.
type AttributeState struct {
	Name    string `cbor:"1,keyasint"`
	DelayMS int64  `cbor:"2,keyasint,omitempty"` // dampening; 0 = changes are written at once
	Private bool   `cbor:"3,keyasint,omitempty"`
	// Values are all values of a private attribute, and otherwise those that wait, sorted by node.
	Values []AttributeValue `cbor:"4,keyasint,omitempty"`
	// Changed is the index of the entry that last changed Values.
	Changed uint64 `cbor:"5,keyasint,omitempty"`
}

// Waits reports whether there are values that are not in the document yet.
func (a *AttributeState) Waits() bool { return !a.Private && len(a.Values) > 0 }

// AttributeValue is the value of an attribute on one node.
type AttributeValue struct {
	Node    string `cbor:"1,keyasint"`
	Value   string `cbor:"2,keyasint,omitempty"`
	Deleted bool   `cbor:"3,keyasint,omitempty"` // the value in the document goes
}

// AttributeValues returns the newest values of a transient attribute in order of nodes, those included that wait to
// be written or are private. known says that the attribute exists, although it may have no value.
func (s *State) AttributeValues(name string) (values []AttributeValue, known bool) {
	a := s.attribute(name)
	if a != nil {
		values = slices.DeleteFunc(slices.Clone(a.Values), func(v AttributeValue) bool { return v.Deleted })
	}
	for i := range s.Document.Status.Nodes {
		st := &s.Document.Status.Nodes[i]
		value, ok := cib.Value(st.Attributes, name)
		if !ok || a != nil && slices.ContainsFunc(a.Values, func(v AttributeValue) bool { return v.Node == st.Name }) {
			continue
		}
		values = append(values, AttributeValue{Node: st.Name, Value: value})
	}
	slices.SortFunc(values, func(x, y AttributeValue) int { return strings.Compare(x.Node, y.Node) })
	return values, a != nil || len(values) > 0
}

func (s *State) attribute(name string) *AttributeState {
	i, ok := slices.BinarySearchFunc(s.Attributes, name, func(a AttributeState, name string) int { return cmp.Compare(a.Name, name) })
	if !ok {
		return nil
	}
	return &s.Attributes[i]
}

// attributes applies changes of transient attributes.
func (n *State) attributes(list []Attribute, out *Outcome) error {
	n.ownAttributes()
	w := &attributeWriter{n: n, ed: cib.NewEditor(n.Document), out: out}
	for i := range list {
		if err := w.change(&list[i]); err != nil {
			return err
		}
	}
	n.Document = w.ed.Document()
	return nil
}

// ownAttributes makes the list one that may be changed.
func (n *State) ownAttributes() {
	n.Attributes = slices.Clone(n.Attributes)
	for i := range n.Attributes {
		n.Attributes[i].Values = slices.Clone(n.Attributes[i].Values)
	}
}

// attributeWriter applies the changes of one entry to a state whose list of attributes is its own.
type attributeWriter struct {
	n   *State
	ed  *cib.Editor
	out *Outcome
}

func (w *attributeWriter) change(c *Attribute) error {
	switch {
	case c.Write:
		for i := range w.n.Attributes {
			if a := &w.n.Attributes[i]; c.Name == "" || a.Name == c.Name {
				w.write(a)
			}
		}
		w.prune()
		return nil
	case c.Name == "" || strings.ContainsAny(c.Name, "\x00\n"):
		return fmt.Errorf("node attribute with the name %q: a name must not be empty or hold control characters", c.Name)
	case len(c.Value) > maxAttributeValue:
		return fmt.Errorf("attribute %s: the value has %d bytes, at most %d", c.Name, len(c.Value), maxAttributeValue)
	case c.DelayMS < 0:
		return fmt.Errorf("attribute %s: a dampening of %d ms: it must not be negative", c.Name, c.DelayMS)
	}
	a, err := w.settings(c)
	if err != nil {
		return err
	}
	if c.KeepValue {
		w.prune()
		return nil
	}
	if err := w.value(a, c); err != nil {
		return fmt.Errorf("attribute %s: %w", c.Name, err)
	}
	w.prune()
	return nil
}

// settings returns what is known of the attribute, with the dampening that the change asks for; nil = it is an
// ordinary one.
func (w *attributeWriter) settings(c *Attribute) (*AttributeState, error) {
	a := w.n.attribute(c.Name)
	if a != nil {
		if c.SetDelay && a.DelayMS != c.DelayMS {
			a.DelayMS = c.DelayMS
			w.write(a)
		}
		return a, nil
	}
	_, exists := w.n.AttributeValues(c.Name)
	private := c.Private && !exists
	if !private && (c.DelayMS == 0 || exists && !c.SetDelay) || c.Delete && !exists {
		return nil, nil
	}
	if len(w.n.Attributes) >= maxAttributes {
		return nil, fmt.Errorf("attribute %s: there are %d private or dampened attributes, which is the most: delete some", c.Name, maxAttributes)
	}
	w.n.Attributes = append(w.n.Attributes, AttributeState{Name: c.Name, DelayMS: c.DelayMS, Private: private})
	slices.SortFunc(w.n.Attributes, func(x, y AttributeState) int { return cmp.Compare(x.Name, y.Name) })
	return w.n.attribute(c.Name), nil
}

// value changes the value on one node, in the list where it is private or must wait, else in the document.
func (w *attributeWriter) value(a *AttributeState, c *Attribute) error {
	id, err := w.n.stateID(c.Node)
	if err != nil {
		return err
	}
	i := w.ed.Node(c.Node, id)
	written, had := w.ed.TransientValue(i, c.Name)
	at, listed := 0, false
	if a != nil {
		at, listed = slices.BinarySearchFunc(a.Values, c.Node, func(v AttributeValue, node string) int { return cmp.Compare(v.Node, node) })
	}
	old, has := written, had
	if listed {
		old, has = a.Values[at].Value, !a.Values[at].Deleted
	}
	v := AttributeValue{Node: c.Node, Value: c.Value, Deleted: c.Delete}
	if c.Delete {
		v.Value = ""
	} else if v.Value, err = expand(old, c.Value); err != nil {
		return err
	}
	switch {
	case v.Deleted != has && v.Value == old || v.Deleted && !has:
		return nil // nothing new; what waits goes on waiting
	case a == nil || !a.Private && a.DelayMS == 0:
		w.set(i, c.Name, v)
		return nil
	}
	a.Changed = w.n.Index
	switch {
	case a.Private && v.Deleted, !a.Private && v.Deleted == !had && v.Value == written:
		// Back to what the document says: nothing is left to be written.
		if listed {
			a.Values = slices.Delete(a.Values, at, at+1)
		}
	case listed:
		a.Values[at] = v
	default:
		a.Values = slices.Insert(a.Values, at, v)
	}
	return nil
}

// write brings what waits to the document.
func (w *attributeWriter) write(a *AttributeState) {
	if !a.Waits() {
		return
	}
	for _, v := range a.Values {
		if id, err := w.n.stateID(v.Node); err == nil {
			w.set(w.ed.Node(v.Node, id), a.Name, v)
		}
	}
	a.Values = nil
}

func (w *attributeWriter) set(i int, name string, v AttributeValue) {
	old, had := w.ed.TransientValue(i, name)
	switch {
	case v.Deleted && had:
		w.ed.DeleteTransient(i, name)
	case !v.Deleted && (!had || old != v.Value):
		w.ed.SetTransient(i, name, v.Value)
	default:
		return
	}
	w.out.DecisionNeeded = true
}

// prune drops what is known of attributes that no node has any more.
func (w *attributeWriter) prune() {
	doc := w.ed.Document()
	w.n.Attributes = slices.DeleteFunc(w.n.Attributes, func(a AttributeState) bool {
		return len(a.Values) == 0 && !slices.ContainsFunc(doc.Status.Nodes, func(st cib.NodeState) bool {
			_, has := cib.Value(st.Attributes, a.Name)
			return has
		})
	})
}

// dropAttributes forgets the values of a node that are not in the document.
func (n *State) dropAttributes(node string) {
	n.ownAttributes()
	for i := range n.Attributes {
		a := &n.Attributes[i]
		a.Values = slices.DeleteFunc(a.Values, func(v AttributeValue) bool { return v.Node == node })
	}
	n.Attributes = slices.DeleteFunc(n.Attributes, func(a AttributeState) bool { return a.Private && len(a.Values) == 0 })
}

// expand works out "value++" and "value+=N", which add to the old value; other values stand for themselves.
func expand(old, value string) (string, error) {
	add := cib.Score(1)
	if value != "value++" {
		text, ok := strings.CutPrefix(value, "value+=")
		if !ok {
			return value, nil
		}
		var err error
		if add, err = cib.ParseScore(text); err != nil {
			return "", fmt.Errorf("%q is no number to add: %w", text, err)
		}
	}
	score, err := cib.ParseScore(old)
	if err != nil {
		score = 0 // what is no number counts as none
	}
	return score.Add(add).String(), nil
}
