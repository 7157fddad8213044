package mls

const stateVersion = 1
