package controlplane

// fleetTargets adds what the health checks of instance groups ask.
func (w *world) fleetTargets(out map[string]target) {}
