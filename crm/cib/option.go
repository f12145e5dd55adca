package cib

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// OptionType says how the value of an option is written.
type OptionType uint8

// Types of options.
const (
	TypeText     OptionType = iota
	TypeBoolean             // see ParseBool
	TypeInteger             // see ParseInteger
	TypeScore               // see ParseScore
	TypeDuration            // see ParseInterval
	TypeTimeout             // as TypeDuration, without the ISO 8601 form
	TypeChoice              // one of Option.Choices
	TypePercent             // a whole number with "%"
	TypeDate                // ISO 8601
)

var optionTypes = [...]string{"text", "boolean", "integer", "score", "duration", "timeout", "choice", "percentage", "date"}

// String returns the name of the type, as documentation shows it.
func (t OptionType) String() string {
	if int(t) < len(optionTypes) {
		return optionTypes[t]
	}
	return fmt.Sprintf("OptionType(%d)", uint8(t))
}

// Option describes one cluster property, meta-attribute or parameter. Parsers, checks, completion and the
// reference documentation come from the tables of options.
type Option struct {
	Name    string
	Old     []string // older names, accepted on input; the present name wins where both are given
	Type    OptionType
	Choices []string // TypeChoice: values, compared without regard to case
	OldText []string // older words for values of TypeChoice that are accepted
	Min     int64    // TypeInteger, with Bounded
	Max     int64
	Bounded bool
	// Negative says that a TypeTimeout may be negative, with a meaning of its own.
	Negative bool
	Default  string // "" = unset
	// Internal says that the cluster sets it, not an administrator.
	Internal bool
	Help     string
}

// Check returns what is wrong with a value and what would be right; nil = nothing. References to secrets
// ("ref:...") are right for text only.
func (o *Option) Check(value string) error {
	bad := func(want string) error { return fmt.Errorf("%s=%q: expected %s", o.Name, value, want) }
	switch o.Type {
	case TypeBoolean:
		if _, err := ParseBool(value); err != nil {
			return bad("true or false")
		}
	case TypeInteger:
		n, err := ParseInteger(value)
		if err != nil {
			return bad("a whole number")
		}
		if o.Bounded && (n < o.Min || n > o.Max) {
			if o.Max == maxInt32 {
				return bad(fmt.Sprintf("a whole number of at least %d", o.Min))
			}
			return bad(fmt.Sprintf("a whole number from %d to %d", o.Min, o.Max))
		}
	case TypeScore:
		if _, err := ParseScore(value); err != nil {
			return bad("a whole number, INFINITY or -INFINITY")
		}
	case TypeDuration:
		if _, err := ParseInterval(value); err != nil {
			return bad("a duration such as 30s, 5min or PT1H")
		}
	case TypeTimeout:
		if ms, ok := parseAmount(value); !ok || ms < 0 && !o.Negative {
			return bad("a duration such as 30s or 5min")
		}
	case TypeChoice:
		for _, c := range o.Choices {
			if strings.EqualFold(c, value) {
				return nil
			}
		}
		for _, c := range o.OldText {
			if strings.EqualFold(c, value) {
				return nil
			}
		}
		return bad("one of " + strings.Join(o.Choices, ", "))
	case TypePercent:
		digits, ok := strings.CutSuffix(value, "%")
		if !ok || digits == "" || strings.Trim(digits, "0123456789") != "" {
			return bad("a percentage such as 80%")
		}
	}
	return nil
}

const maxInt32 = 1<<31 - 1

// atLeast is an integer option with a lower bound.
func atLeast(low int64, o Option) Option {
	o.Type, o.Bounded, o.Min, o.Max = TypeInteger, true, low, maxInt32
	return o
}

// table indexes options by name and older name.
type table struct {
	list   []Option
	byName map[string]*Option
}

func newTable(list []Option) table {
	t := table{list: list, byName: make(map[string]*Option, len(list))}
	for i := range list {
		t.byName[list[i].Name] = &list[i]
	}
	for i := range list {
		for _, old := range list[i].Old {
			if t.byName[old] == nil {
				t.byName[old] = &list[i]
			}
		}
	}
	return t
}

// names returns the present and the older names, sorted: a slip in an older name is a slip, too.
func (t table) names() []string { return slices.Sorted(maps.Keys(t.byName)) }

// PropertyOption returns the cluster property of that name or older name; nil = none.
func PropertyOption(name string) *Option { return propertyTable.byName[name] }

// Properties returns all cluster properties, sorted by name. It must not be changed.
func Properties() []Option { return propertyTable.list }

// MetaOption returns the resource meta-attribute of that name or older name; nil = none.
func MetaOption(name string) *Option { return metaTable.byName[name] }

// MetaOptions returns all resource meta-attributes, sorted by name. It must not be changed.
func MetaOptions() []Option { return metaTable.list }

// OperationOption returns the meta-attribute of operations of that name; nil = none.
func OperationOption(name string) *Option { return operationTable.byName[name] }

// OperationOptions returns all meta-attributes of operations, sorted by name. It must not be changed.
func OperationOptions() []Option { return operationTable.list }

// FencingOption returns the parameter of that name which every fence device takes beside those of its
// agent; nil = none.
func FencingOption(name string) *Option { return fencingTable.byName[name] }

// FencingOptions returns the parameters that every fence device takes, sorted by name. It must not be
// changed.
func FencingOptions() []Option { return fencingTable.list }

// CanonicalProperty returns the present name of a cluster property; names that no table knows stay as they
// are. CanonicalMeta does the same for resource meta-attributes.
func CanonicalProperty(name string) string { return canonical(PropertyOption(name), name) }

// CanonicalMeta returns the present name of a resource meta-attribute.
func CanonicalMeta(name string) string { return canonical(MetaOption(name), name) }

func canonical(o *Option, name string) string {
	if o == nil {
		return name
	}
	return o.Name
}

// Property returns the cluster property of the given present name as written in the document, and whether
// it is set: the value of the set with the highest precedence (spec/01-inputs.md 4.1 and 7.2), under the
// present name before older ones. Sets with rules are left out, since whether they pass depends on the
// time; package policy evaluates them.
func Property(doc *Document, name string) (value string, ok bool) {
	if value, ok = lookup(doc.Config.Properties, name); ok {
		return value, true
	}
	if o := PropertyOption(name); o != nil && o.Name == name {
		for _, old := range o.Old {
			if value, ok = lookup(doc.Config.Properties, old); ok {
				return value, true
			}
		}
	}
	return "", false
}

// EffectiveProperty returns the value of the property of the given present name that counts: the one
// written, if it is valid, else the default.
func EffectiveProperty(doc *Document, name string) string {
	o := PropertyOption(name)
	value, ok := Property(doc, name)
	if ok && (o == nil || o.Check(value) == nil) {
		return value
	}
	if o != nil {
		return o.Default
	}
	return ""
}

// BootstrapSet is the id of the set of cluster properties that has precedence over all others.
const BootstrapSet = "cib-bootstrap-options"

// lookup finds a name in the sets without rules, in order of precedence.
func lookup(sets []AttributeSet, name string) (string, bool) {
	best := -1
	var value string
	var bestScore Score
	for i := range sets {
		if len(sets[i].Rules) > 0 {
			continue
		}
		for _, p := range sets[i].Pairs {
			if p.Name != name || p.NoValue {
				continue
			}
			score, _ := ParseScore(sets[i].Score)
			// Later sets win over earlier ones of the same score.
			first := sets[i].ID == BootstrapSet
			if best < 0 || first || sets[best].ID != BootstrapSet && score >= bestScore {
				best, value, bestScore = i, p.Value, score
			}
			break
		}
	}
	return value, best >= 0
}

// Nearest returns the name of the list that is most like the given one, for "did you mean"; "" = none is
// alike enough. Ties go to the first in the list.
func Nearest(name string, list []string) string {
	// A third of the letters may differ, in short names two, in very short ones fewer.
	best, bestDistance := "", min(max(2, len(name)/3), (len(name)+1)/2)+1
	if len(name) > 64 {
		return ""
	}
	for _, candidate := range list {
		if strings.EqualFold(candidate, name) || strings.ReplaceAll(name, "_", "-") == candidate {
			return candidate
		}
		if d := distance(name, candidate, bestDistance); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// distance is the number of letters to insert, remove, replace or swap with the neighbour; limit or more is
// limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before := make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	next := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row, next = row, next, before
	}
	return min(row[len(b)], limit)
}

// sorted sorts a list of options by name; the tables are written by subject.
func sorted(list []Option) []Option {
	slices.SortFunc(list, func(a, b Option) int { return strings.Compare(a.Name, b.Name) })
	return list
}

var (
	propertyTable  = newTable(sorted(propertyOptions()))
	metaTable      = newTable(sorted(metaOptions()))
	operationTable = newTable(sorted(operationOptions()))
	fencingTable   = newTable(sorted(fencingOptions()))
)
