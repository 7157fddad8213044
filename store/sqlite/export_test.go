package sqlite

import "context"

// OpenWithStep is Open by a program that has one more step.
func OpenWithStep(ctx context.Context, path, step string) (*Store, error) {
	all, err := steps()
	if err != nil {
		return nil, err
	}
	return openSteps(ctx, path, append(all, step))
}
