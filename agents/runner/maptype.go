package runner

import "reflect"

// mapType makes maps of unknown content have string keys, as audit records do.
var mapType = reflect.TypeFor[map[string]any]()
