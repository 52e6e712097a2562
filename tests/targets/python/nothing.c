// The programs of Python are linked from flags; a compiler is given a source all the same.
