package compat

import (
	"fmt"
	"strings"
)

// option is one option of a compatibility tool, in the manner of getopt_long: short options may be bundled
// ("-sSQ"), values may be attached ("-xFILE", "--xml-file=FILE") or follow.
type option struct {
	short byte   // 0 = none
	long  string // "" = none
	value bool   // takes a value
	// optional says that a value may be missing: it is attached, or the next argument if that is no option.
	optional bool
	help     string
	arg      string // name of the value in the help
	set      func(value string) error
}

// usageError is an error in the command line.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// parse reads args with the options and returns what is no option. "--" ends the options. Options may follow
// other arguments, as GNU getopt allows. A long option may be cut to a unique prefix.
func parse(args []string, options []option) (rest []string, err error) {
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--":
			return append(rest, args[i+1:]...), nil
		case strings.HasPrefix(a, "--"):
			name, value, attached := strings.Cut(a[2:], "=")
			o, err := findLong(name, options)
			if err != nil {
				return nil, err
			}
			if !o.value && !o.optional && attached {
				return nil, &usageError{fmt.Sprintf("option '--%s' doesn't take a value", o.long)}
			}
			if o.value && !attached {
				i++
				if i >= len(args) {
					return nil, &usageError{fmt.Sprintf("option '--%s' needs a value", o.long)}
				}
				value = args[i]
			}
			if o.optional && !attached && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
				i++
				value = args[i]
			}
			if err := o.set(value); err != nil {
				return nil, &usageError{fmt.Sprintf("option '--%s': %v", o.long, err)}
			}
		case len(a) > 1 && a[0] == '-':
			for j := 1; j < len(a); j++ {
				o := findShort(a[j], options)
				if o == nil {
					return nil, &usageError{fmt.Sprintf("unknown option '-%c'", a[j])}
				}
				value := ""
				if o.value || o.optional {
					value = a[j+1:]
					if value == "" && i+1 < len(args) && (o.value || !strings.HasPrefix(args[i+1], "-")) {
						i++
						value = args[i]
					} else if value == "" && o.value {
						return nil, &usageError{fmt.Sprintf("option '-%c' needs a value", o.short)}
					}
				}
				if err := o.set(value); err != nil {
					return nil, &usageError{fmt.Sprintf("option '-%c': %v", o.short, err)}
				}
				if o.value || o.optional {
					break
				}
			}
		default:
			rest = append(rest, a)
		}
	}
	return rest, nil
}

func findShort(c byte, options []option) *option {
	for i := range options {
		if options[i].short == c {
			return &options[i]
		}
	}
	return nil
}

func findLong(name string, options []option) (*option, error) {
	var found *option
	for i := range options {
		o := &options[i]
		if o.long == "" {
			continue
		}
		if o.long == name {
			return o, nil
		}
		if name != "" && strings.HasPrefix(o.long, name) {
			if found != nil {
				return nil, &usageError{fmt.Sprintf("option '--%s' is ambiguous: --%s or --%s", name, found.long, o.long)}
			}
			found = o
		}
	}
	if found == nil {
		return nil, &usageError{fmt.Sprintf("unknown option '--%s'", name)}
	}
	return found, nil
}

// usage renders the options for --help.
func usage(options []option) string {
	var b strings.Builder
	for _, o := range options {
		left := "      "
		if o.short != 0 {
			left = fmt.Sprintf("  -%c, ", o.short)
			if o.long == "" {
				left = fmt.Sprintf("  -%c", o.short)
			}
		}
		if o.long != "" {
			left += "--" + o.long
		}
		switch {
		case o.value:
			left += "=" + o.arg
		case o.optional && o.arg != "":
			left += "[=" + o.arg + "]"
		}
		fmt.Fprintf(&b, "%-34s %s\n", left, o.help)
	}
	return b.String()
}

func flag(p *bool) func(string) error { return func(string) error { *p = true; return nil } }

func text(p *string) func(string) error { return func(s string) error { *p = s; return nil } }

func list(p *[]string) func(string) error {
	return func(s string) error { *p = append(*p, s); return nil }
}
