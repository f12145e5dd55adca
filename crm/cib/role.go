package cib

import (
	"fmt"
	"strings"
)

// Role is the role of a resource. The order is meaningful (spec/01-inputs.md section 1).
type Role uint8

// Roles.
const (
	RoleUnknown Role = iota
	RoleStopped
	RoleStarted
	RoleUnpromoted
	RolePromoted
)

var roleNames = [...]string{"Unknown", "Stopped", "Started", "Unpromoted", "Promoted"}

// String returns the role's present name.
func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return fmt.Sprintf("Role(%d)", uint8(r))
}

// ParseRole reads a role in any case, also under the old names Master and Slave. Other text is an error
// with RoleUnknown.
func ParseRole(text string) (Role, error) {
	for i, name := range roleNames {
		if strings.EqualFold(text, name) {
			return Role(i), nil
		}
	}
	switch {
	case strings.EqualFold(text, "slave"):
		return RoleUnpromoted, nil
	case strings.EqualFold(text, "master"):
		return RolePromoted, nil
	}
	return RoleUnknown, fmt.Errorf("role %q: expected Stopped, Started, Unpromoted or Promoted", text)
}
