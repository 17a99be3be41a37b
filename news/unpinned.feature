`bin/buildout` names distributions that it took in another version than `hostoutversions.cfg` has, where nothing pins them.
