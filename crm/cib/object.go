package cib

import (
	"reflect"
	"slices"
	"strconv"
)

// Kinds of objects, the units in which a configuration is changed and has revisions. A top-level resource
// is one object with everything in it. The texts are written to disk: append only.
const (
	KindCluster          = "cluster"       // ClusterSettings; its id is ""
	KindProperties       = "properties"    // a set of cluster properties
	KindNode             = "node"          // its id is the node's name
	KindResource         = "resource"      // a top-level resource or a template
	KindConstraint       = "constraint"    //
	KindLevel            = "fencing-level" //
	KindResourceDefaults = "rsc-defaults"  // a set of defaults
	KindOpDefaults       = "op-defaults"   // a set of defaults
	KindTag              = "tag"           //
	KindACLRole          = "acl-role"      //
	KindACLUser          = "acl-user"      //
	KindACLTarget        = "acl-target"    //
	KindACLGroup         = "acl-group"     //
	KindAlert            = "alert"         //
	KindUnknown          = "unknown"       // an element that the model does not know; ids are #1, #2, ...
)

// Object is one object of a configuration. Exactly one field is set, and says what it is.
type Object struct {
	Cluster    *ClusterSettings `json:",omitempty"`
	Set        *AttributeSet    `json:",omitempty"` // KindProperties, KindResourceDefaults, KindOpDefaults
	Node       *Node            `json:",omitempty"`
	Resource   *Resource        `json:",omitempty"`
	Constraint *Constraint      `json:",omitempty"`
	Level      *FencingLevel    `json:",omitempty"`
	Tag        *Tag             `json:",omitempty"`
	Role       *ACLRole         `json:",omitempty"`
	User       *ACLUser         `json:",omitempty"`
	Target     *ACLTarget       `json:",omitempty"` // KindACLTarget, KindACLGroup
	Alert      *Alert           `json:",omitempty"`
	Unknown    *Unknown         `json:",omitempty"`
}

// ID returns the object's own id; "" where it has none. A node's id is its name.
func (o *Object) ID() string {
	switch {
	case o.Set != nil:
		return o.Set.ID
	case o.Node != nil:
		if o.Node.Name == "" {
			return o.Node.ID
		}
		return o.Node.Name
	case o.Resource != nil:
		return o.Resource.ID
	case o.Constraint != nil:
		return o.Constraint.ID
	case o.Level != nil:
		return o.Level.ID
	case o.Tag != nil:
		return o.Tag.ID
	case o.Role != nil:
		return o.Role.ID
	case o.User != nil:
		return o.User.ID
	case o.Target != nil:
		return o.Target.ID
	case o.Alert != nil:
		return o.Alert.ID
	}
	return ""
}

// Pos returns where the object was written.
func (o *Object) Pos() Pos {
	switch {
	case o.Set != nil:
		return o.Set.Pos
	case o.Node != nil:
		return o.Node.Pos
	case o.Resource != nil:
		return o.Resource.Pos
	case o.Constraint != nil:
		return o.Constraint.Pos
	case o.Level != nil:
		return o.Level.Pos
	case o.Tag != nil:
		return o.Tag.Pos
	case o.Role != nil:
		return o.Role.Pos
	case o.User != nil:
		return o.User.Pos
	case o.Target != nil:
		return o.Target.Pos
	case o.Alert != nil:
		return o.Alert.Pos
	case o.Unknown != nil:
		return o.Unknown.Pos
	}
	return Pos{}
}

// Clone returns a deep copy.
func (o Object) Clone() Object {
	var out Object
	switch {
	case o.Cluster != nil:
		c := Configuration{Cluster: *o.Cluster}.Clone()
		out.Cluster = &c.Cluster
	case o.Set != nil:
		out.Set = cloned(o.Set, AttributeSet.Clone)
	case o.Node != nil:
		out.Node = cloned(o.Node, Node.Clone)
	case o.Resource != nil:
		out.Resource = o.Resource.Clone()
	case o.Constraint != nil:
		out.Constraint = cloned(o.Constraint, Constraint.Clone)
	case o.Level != nil:
		out.Level = cloned(o.Level, FencingLevel.Clone)
	case o.Tag != nil:
		out.Tag = cloned(o.Tag, Tag.Clone)
	case o.Role != nil:
		out.Role = cloned(o.Role, ACLRole.Clone)
	case o.User != nil:
		out.User = cloned(o.User, ACLUser.Clone)
	case o.Target != nil:
		out.Target = cloned(o.Target, ACLTarget.Clone)
	case o.Alert != nil:
		out.Alert = cloned(o.Alert, Alert.Clone)
	case o.Unknown != nil:
		x := *o.Unknown
		out.Unknown = &x
	}
	return out
}

func cloned[T any](v *T, clone func(T) T) *T {
	x := clone(*v)
	return &x
}

// Equal reports whether two objects say the same, wherever they were written.
func (o *Object) Equal(p *Object) bool {
	if *o == *p {
		return true
	}
	a, b := o.Clone(), p.Clone()
	a.clearPositions()
	b.clearPositions()
	return reflect.DeepEqual(a, b)
}

func (o *Object) clearPositions() {
	switch {
	case o.Set != nil:
		clearSets([]AttributeSet{*o.Set})
		o.Set.Pos = Pos{}
	case o.Node != nil:
		o.Node.clearPositions()
	case o.Resource != nil:
		o.Resource.clearPositions()
	case o.Constraint != nil:
		o.Constraint.clearPositions()
	case o.Level != nil:
		o.Level.Pos = Pos{}
	case o.Tag != nil:
		o.Tag.Pos = Pos{}
	case o.Role != nil:
		o.Role.Pos = Pos{}
	case o.User != nil:
		o.User.Pos = Pos{}
	case o.Target != nil:
		o.Target.Pos = Pos{}
	case o.Alert != nil:
		o.Alert.clearPositions()
	case o.Unknown != nil:
		o.Unknown.Pos = Pos{}
	}
}

// section gives access to the objects of one kind.
type section struct {
	kind string
	get  func(c *Configuration) []Object
	put  func(c *Configuration, list []Object) // all of which has accepts
	has  func(o *Object) bool                  // the object is of this kind

	// count, at and swap are get and put for one object in its place; nil where the kind has one object at most. swap gives
	// the configuration a list of its own.
	count func(c *Configuration) int
	at    func(c *Configuration, i int, into *Object)
	swap  func(c *Configuration, i int, o *Object)
}

// place finds the object that has the id without being numbered; -1 = none.
func (s *section) place(c *Configuration, id string) int {
	if s.count == nil || id == "" || numbered(id) {
		return -1
	}
	var o Object
	for i := range s.count(c) {
		if s.at(c, i, &o); o.ID() == id {
			return i
		}
	}
	return -1
}

// object gives the object in a place.
func (s *section) object(c *Configuration, i int) (o Object) {
	s.at(c, i, &o)
	return o
}

// sectionOf gives the section of a kind; nil = there is no such kind.
func sectionOf(kind string) *section {
	for i := range sections {
		if sections[i].kind == kind {
			return &sections[i]
		}
	}
	return nil
}

// listSection makes a section of one of the configuration's lists of values.
func listSection[T any](kind string, list func(c *Configuration) *[]T, field func(o *Object) **T) section {
	return section{
		kind: kind,
		has:  func(o *Object) bool { return *field(o) != nil },
		get: func(c *Configuration) []Object {
			values := *list(c)
			out := make([]Object, len(values))
			for i := range values {
				*field(&out[i]) = &values[i]
			}
			return out
		},
		put: func(c *Configuration, objects []Object) {
			var out []T
			for i := range objects {
				out = append(out, **field(&objects[i]))
			}
			*list(c) = out
		},
		count: func(c *Configuration) int { return len(*list(c)) },
		at:    func(c *Configuration, i int, into *Object) { *field(into) = &(*list(c))[i] },
		swap: func(c *Configuration, i int, o *Object) {
			values := slices.Clone(*list(c))
			values[i] = **field(o)
			*list(c) = values
		},
	}
}

// sections lists the kinds in the order in which changes are shown and applied.
var sections = []section{
	{
		kind: KindCluster,
		has:  func(o *Object) bool { return o.Cluster != nil },
		get: func(c *Configuration) []Object {
			if reflect.DeepEqual(c.Cluster, ClusterSettings{}) {
				return nil
			}
			return []Object{{Cluster: &c.Cluster}}
		},
		put: func(c *Configuration, list []Object) {
			c.Cluster = ClusterSettings{}
			if len(list) > 0 {
				c.Cluster = *list[0].Cluster
			}
		},
	},
	listSection(KindProperties, func(c *Configuration) *[]AttributeSet { return &c.Properties }, func(o *Object) **AttributeSet { return &o.Set }),
	listSection(KindNode, func(c *Configuration) *[]Node { return &c.Nodes }, func(o *Object) **Node { return &o.Node }),
	{
		kind: KindResource,
		has:  func(o *Object) bool { return o.Resource != nil },
		get: func(c *Configuration) []Object {
			out := make([]Object, len(c.Resources))
			for i := range c.Resources {
				out[i].Resource = c.Resources[i]
			}
			return out
		},
		put: func(c *Configuration, list []Object) {
			c.Resources = nil
			for i := range list {
				c.Resources = append(c.Resources, list[i].Resource)
			}
		},
		count: func(c *Configuration) int { return len(c.Resources) },
		at:    func(c *Configuration, i int, into *Object) { into.Resource = c.Resources[i] },
		swap: func(c *Configuration, i int, o *Object) {
			c.Resources = slices.Clone(c.Resources)
			c.Resources[i] = o.Resource
		},
	},
	listSection(KindConstraint, func(c *Configuration) *[]Constraint { return &c.Constraints }, func(o *Object) **Constraint { return &o.Constraint }),
	listSection(KindLevel, func(c *Configuration) *[]FencingLevel { return &c.FencingTopology }, func(o *Object) **FencingLevel { return &o.Level }),
	listSection(KindResourceDefaults, func(c *Configuration) *[]AttributeSet { return &c.ResourceDefaults }, func(o *Object) **AttributeSet { return &o.Set }),
	listSection(KindOpDefaults, func(c *Configuration) *[]AttributeSet { return &c.OpDefaults }, func(o *Object) **AttributeSet { return &o.Set }),
	listSection(KindTag, func(c *Configuration) *[]Tag { return &c.Tags }, func(o *Object) **Tag { return &o.Tag }),
	listSection(KindACLRole, func(c *Configuration) *[]ACLRole { return &c.Roles }, func(o *Object) **ACLRole { return &o.Role }),
	listSection(KindACLUser, func(c *Configuration) *[]ACLUser { return &c.Users }, func(o *Object) **ACLUser { return &o.User }),
	listSection(KindACLTarget, func(c *Configuration) *[]ACLTarget { return &c.Targets }, func(o *Object) **ACLTarget { return &o.Target }),
	listSection(KindACLGroup, func(c *Configuration) *[]ACLTarget { return &c.Groups }, func(o *Object) **ACLTarget { return &o.Target }),
	listSection(KindAlert, func(c *Configuration) *[]Alert { return &c.Alerts }, func(o *Object) **Alert { return &o.Alert }),
	listSection(KindUnknown, func(c *Configuration) *[]Unknown { return &c.Extra }, func(o *Object) **Unknown { return &o.Unknown }),
}

// objectIDs returns an id for each object that is unique in the list: its own, with "#2" and so on where it
// is given again, and a number where it has none.
func objectIDs(kind string, list []Object) []string {
	out := make([]string, len(list))
	seen := make(map[string]bool, len(list))
	for i := range list {
		id := list[i].ID()
		if id == "" && kind != KindCluster {
			id = "#" + strconv.Itoa(i+1)
		}
		unique := id
		for n := 2; seen[unique]; n++ {
			unique = id + "#" + strconv.Itoa(n)
		}
		seen[unique] = true
		out[i] = unique
	}
	return out
}

// Objects calls visit for every object of the configuration, kind by kind, in document order. The id is the
// object's own, made unique as in Change. The objects are parts of c and must not be changed.
func Objects(c *Configuration, visit func(kind, id string, o Object)) {
	for _, s := range sections {
		list := s.get(c)
		for i, id := range objectIDs(s.kind, list) {
			visit(s.kind, id, list[i])
		}
	}
}

// FindObject returns the object of a kind and id as Objects names them; ok is false where there is none.
func FindObject(c *Configuration, kind, id string) (o Object, ok bool) {
	s := sectionOf(kind)
	if s == nil {
		return Object{}, false
	}
	if i := s.place(c, id); i >= 0 {
		return s.object(c, i), true
	}
	list := s.get(c)
	for i, have := range objectIDs(kind, list) {
		if have == id {
			return list[i], true
		}
	}
	return Object{}, false
}

// replaced gives, for changes that only put new values in the place of objects, the object that each replaces; ok is
// false when they do anything else, or when it is cheaper to look at whole lists.
func replaced(c *Configuration, changes []Change) (places []int, ok bool) {
	const few = 8
	if len(changes) > few {
		return nil, false
	}
	for i := range changes {
		x := &changes[i]
		s := sectionOf(x.Kind)
		if s == nil || x.Object == nil || x.Place != PlaceKeep || slices.ContainsFunc(changes[:i], func(y Change) bool { return y.Kind == x.Kind && y.ID == x.ID }) {
			return nil, false
		}
		at := s.place(c, x.ID)
		if at < 0 {
			return nil, false
		}
		places = append(places, at)
	}
	return places, true
}
