//! Frames of an interpreter's own module that only show how it calls: the eval loop, vectorcall, slots, dispatch by type, its
//! start. In stacks with frames of its language they are left out; what does work in C (builtins, garbage collection, the
//! wait for the GIL) stays. Decides by names alone.

use std::sync::Arc;

use crate::{code::Language, frame::Frame, module::Module, naming::file_name};

/// CPython 3.8 to 3.15, seen in stacks of programs that call in every way there is.
const PYTHON_EXACT: &[&str] = &[
    // Functions.
    "call_function",
    "do_call_core",
    "fast_function",
    "function_code_fastcall",
    "initialize_locals",
    "object_vacall",
    "callmethod",
    "PyCFunction_Call",
    "PyObject_Call",
    "_PyObject_Call",
    "_Py_CheckFunctionResult",
    "clear_thread_frame",
    "clear_gen_frame",
    // Methods, types, attributes.
    "call_attribute",
    "call_maybe",
    "call_method",
    "lookup_maybe_method",
    "lookup_method",
    "method_call",
    "property_descr_get",
    "property_descr_set",
    "special_lookup",
    "tp_new_wrapper",
    "type_call",
    "wrap_binaryfunc",
    "wrap_binaryfunc_l",
    "wrap_binaryfunc_r",
    "wrap_call",
    "wrap_del",
    "wrap_delattr",
    "wrap_delitem",
    "wrap_descr_delete",
    "wrap_descr_get",
    "wrap_descr_set",
    "wrap_hashfunc",
    "wrap_init",
    "wrap_lenfunc",
    "wrap_next",
    "wrap_objobjargproc",
    "wrap_objobjproc",
    "wrap_richcmpfunc",
    "wrap_setattr",
    "wrap_sq_item",
    "wrap_ternaryfunc",
    "wrap_unaryfunc",
    "wrapper_call",
    // Generators and coroutines.
    "PyGen_am_send",
    "PyIter_Send",
    "_PyGen_Send",
    "_gen_throw",
    "async_gen_asend_iternext",
    "async_gen_asend_send",
    "coro_wrapper_iternext",
    "coro_wrapper_send",
    "gen_iternext",
    "gen_send",
    "gen_send_ex",
    "gen_send_ex2",
    "gen_throw",
    // Dispatch by type.
    "PyIter_Next",
    "PyObject_DelItem",
    "PyObject_Format",
    "PyObject_GetAttr",
    "PyObject_GetItem",
    "PyObject_GetIter",
    "PyObject_Hash",
    "PyObject_IsTrue",
    "PyObject_Repr",
    "PyObject_RichCompare",
    "PyObject_RichCompareBool",
    "PyObject_SetAttr",
    "PyObject_SetItem",
    "PyObject_Size",
    "PyObject_Str",
    "binary_iop",
    "binary_iop1",
    "binary_op",
    "binary_op1",
    "cmp_outcome",
    "do_richcompare",
    "ternary_op",
    // Giving up a reference.
    "Py_DECREF",
    "Py_XDECREF",
    "_Py_DECREF",
    "_Py_Dealloc",
    "_Py_XDECREF",
    // Starting the program, and threads.
    "Py_BytesMain",
    "Py_Main",
    "Py_RunMain",
    "run_eval_code_obj",
    "run_mod",
    "py_trampoline_evaluator",
    "pythread_wrapper",
    "t_bootstrap",
    "thread_run",
];

/// The same for families of names.
const PYTHON_PREFIXES: &[&str] = &[
    "PyEval_Eval",
    "_PyEval_Eval",
    "_PyEval_Vector",
    "_PyEval_FrameClearAndPop",
    "_PyEval_MakeFrame",
    "_PyEvalFrame",
    "_TAIL_CALL_",
    "PyObject_CallFinalizer",
    "PyObject_CallFunction",
    "PyObject_CallMethod",
    "PyObject_CallNoArgs",
    "PyObject_CallObject",
    "PyObject_CallOneArg",
    "_PyObject_CallFunction",
    "_PyObject_CallMethod",
    "_PyObject_CallNoArg",
    "_PyObject_CallOneArg",
    "_PyObject_Call_",
    "PyObject_Vectorcall",
    "_PyObject_Vectorcall",
    "PyVectorcall_",
    "_PyVectorcall_",
    "_PyObject_FastCall",
    "_PyObject_MakeTpCall",
    "_PyFunction_FastCall",
    "_PyFunction_Vectorcall",
    "PyCFunction_GET_",
    "_PyCFunction_FastCall",
    "_PyMethodDef_",
    "_PyMethodDescr_",
    "PyNumber_",
    "PyRun_",
    "_PyRun_",
    "call_unbound",
    "cfunction_",
    "method_vectorcall",
    "pymain_",
    "pyrun_",
    "slot_",
    "_Py_slot_",
    "vectorcall_",
    "wrap_indexargfunc",
    "wrapperdescr_",
];

/// What stays of the frames of one address in a stack with frames of a language.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shown {
    /// These, innermost first; none where all of it is machinery.
    Frames(Arc<[Frame]>),
    /// This one, once for all that follow on each other: an interpreter without symbols has no names that would tell its
    /// machinery from its work.
    Fold(Frame),
}

/// What is shown of an address with these names.
pub fn shown(named: &Arc<[Frame]>, module: Option<&Module>) -> Shown {
    let Some((module, language)) = module.and_then(|module| Some((module, module.interpreter?))) else {
        return Shown::Frames(Arc::clone(named));
    };
    if named.iter().all(|frame| frame.function.is_none()) {
        return Shown::Fold(fold(module));
    }
    let is_work = |frame: &&Frame| !frame.function.as_deref().is_some_and(|name| is_machinery(name, language));
    if named.iter().all(|frame| is_work(&frame)) {
        return Shown::Frames(Arc::clone(named));
    }
    Shown::Frames(named.iter().filter(is_work).cloned().collect())
}

/// Follows a stack, to write one of several folds that follow on each other.
#[derive(Debug, Default)]
pub struct Folding {
    in_fold: bool,
}

impl Folding {
    /// Whether the next frame is written. It is not asked about those of which nothing is shown.
    pub fn writes(&mut self, is_fold: bool) -> bool {
        !(std::mem::replace(&mut self.in_fold, is_fold) && is_fold)
    }
}

/// The frame of all functions without names of an interpreter: `[libpython3.11.so.1.0]`.
fn fold(module: &Module) -> Frame {
    let name = file_name(&module.path);
    Frame {
        function: Some(format!("[{name}]").into()),
        module: Some(name.into()),
        package: Some(module.path.as_str().into()),
        ..Frame::default()
    }
}

/// Whether a function of the interpreter of this language only calls others.
fn is_machinery(function: &str, language: Language) -> bool {
    // `run_mod.lto_priv.0`, `call_function.isra.0`, `_PyEval_EvalFrameDefault.cold`
    let name = function.split_once('.').map_or(function, |(name, _)| name);
    match language {
        Language::Python => {
            PYTHON_EXACT.contains(&name) || PYTHON_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        }
        Language::Generated => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{FileAddr, LoadBias, RemoteAddr};

    fn module(path: &str, interpreter: Option<Language>) -> Module {
        Module {
            path: path.into(),
            build_id: None,
            bias: LoadBias(0),
            start: RemoteAddr(0),
            size: 0x1000,
            base: FileAddr(0),
            interpreter,
        }
    }

    fn named(function: &str) -> Arc<[Frame]> {
        [Frame { function: Some(function.into()), ..Frame::default() }].into()
    }

    /// What is left of a stack, `;` between its functions.
    fn left(stack: &str) -> String {
        let libpython = module("/usr/lib/libpython3.so.1.0", Some(Language::Python));
        let is_left = |name: &&str| shown(&named(name), Some(&libpython)) == Shown::Frames(named(name));
        stack.split(';').filter(is_left).collect::<Vec<_>>().join(";")
    }

    /// Check stacks as they were recorded, from where `main` calls on: what C does between Python functions stays.
    #[test]
    fn recorded() {
        // 3.8: sorted(key=) calls back.
        let sorted = "Py_BytesMain;pymain_main;Py_RunMain;pymain_run_python;pymain_run_file;PyRun_SimpleFileExFlags;\
                      pyrun_simple_file;pyrun_file;run_mod;run_eval_code_obj;PyEval_EvalCode;PyEval_EvalCodeEx;\
                      _PyEval_EvalCodeWithName;_PyEval_EvalFrameDefault;call_function;_PyObject_Vectorcall;\
                      function_code_fastcall;_PyEval_EvalFrameDefault;call_function;_PyObject_Vectorcall;\
                      cfunction_vectorcall_FASTCALL_KEYWORDS;builtin_sorted;_PyObject_Vectorcall;\
                      cfunction_vectorcall_FASTCALL_KEYWORDS;list_sort;list_sort_impl;PyObject_CallFunctionObjArgs";
        assert_eq!(left(sorted), "builtin_sorted;list_sort;list_sort_impl");
        // 3.8: a thread waits for a lock.
        let lock = "pythread_wrapper;t_bootstrap;PyVectorcall_Call;method_vectorcall;_PyObject_Vectorcall;\
                    function_code_fastcall;_PyEval_EvalFrameDefault;_PyObject_CallNoArg;_PyObject_Vectorcall;\
                    _PyObject_MakeTpCall;cfunction_call_varargs;lock_PyThread_acquire_lock;acquire_timed;\
                    PyThread_acquire_lock_timed";
        assert_eq!(left(lock), "lock_PyThread_acquire_lock;acquire_timed;PyThread_acquire_lock_timed");
        // 3.8: X(**options) becomes __init__.
        let init = "_PyEval_EvalFrameDefault;do_call_core;PyObject_Call;type_call;slot_tp_init;_PyObject_Call_Prepend;\
                    _PyObject_FastCallDict;_PyStack_UnpackDict";
        assert_eq!(left(init), "_PyStack_UnpackDict");
        // 3.11: garbage collection; any() of a generator; __getattr__.
        let collection = "_PyEval_EvalFrameDefault;cfunction_vectorcall_FASTCALL_KEYWORDS;gc_collect;gc_collect_impl;\
                          gc_collect_with_callback;gc_collect_main;deduce_unreachable;subtract_refs";
        let kept =
            "gc_collect;gc_collect_impl;gc_collect_with_callback;gc_collect_main;deduce_unreachable;subtract_refs";
        assert_eq!(left(collection), kept);
        let any = "_PyEval_EvalFrameDefault;builtin_any;gen_iternext;gen_send_ex2;_PyEval_EvalFrame";
        assert_eq!(left(any), "builtin_any");
        let attribute =
            "_PyEval_EvalFrameDefault;_PyObject_MakeTpCall;methodcaller_call;PyObject_GetAttr;slot_tp_getattr_hook";
        assert_eq!(left(attribute), "methodcaller_call");
        // 3.12: import; functools.partial; a product.
        let import = "import_name;PyImport_ImportModuleLevelObject;import_find_and_load;PyObject_CallMethodObjArgs;object_vacall;\
                      _PyObject_VectorcallTstate;_PyEval_EvalFrameDefault";
        assert_eq!(left(import), "import_name;PyImport_ImportModuleLevelObject;import_find_and_load");
        let partial = "PyObject_Vectorcall;_PyObject_VectorcallTstate;partial_vectorcall;_PyObject_VectorcallTstate";
        assert_eq!(left(partial), "partial_vectorcall");
        let product = "_PyEval_EvalFrameDefault;PyNumber_Multiply;binary_op1;long_mul;k_mul;x_mul;_PyObject_Calloc";
        assert_eq!(left(product), "long_mul;k_mul;x_mul;_PyObject_Calloc");
        // 3.13: the last reference is given up; the GIL is waited for.
        let dealloc =
            "_PyEval_EvalFrameDefault;method_dealloc;Py_XDECREF;Py_DECREF;_Py_Dealloc;subtype_dealloc;slot_tp_finalize";
        assert_eq!(left(dealloc), "method_dealloc;subtype_dealloc");
        let gil = "PyObject_Vectorcall;_PyObject_VectorcallTstate;PyThread_acquire_lock_timed_with_retries;_PyThreadState_Attach;\
                   take_gil;PyCOND_TIMEDWAIT";
        assert_eq!(
            left(gil),
            "PyThread_acquire_lock_timed_with_retries;_PyThreadState_Attach;take_gil;PyCOND_TIMEDWAIT"
        );
    }

    /// Check that a compiler's suffix hides no machinery, and that a name is not taken for one that it only begins with.
    #[test]
    fn names() {
        assert_eq!(
            left("run_mod.lto_priv.0;call_function.isra.0;_PyEval_EvalFrameDefault.cold;slot_nb_add.part.0"),
            ""
        );
        let work = "call_function_tail;PyObject_Calloc;PyCFunction_NewEx;type_call_doc;gen_dealloc;unicode_new";
        assert_eq!(left(work), work);
    }

    /// Check that only the interpreter's module is looked at, that inlined frames are told apart, and how unnamed ones fold.
    #[test]
    fn modules() {
        let python = module("/usr/bin/python3.11", Some(Language::Python));
        let eval = named("_PyEval_EvalFrameDefault");
        assert_eq!(shown(&eval, Some(&module("/opt/acme.so", None))), Shown::Frames(Arc::clone(&eval)));
        assert_eq!(shown(&eval, None), Shown::Frames(Arc::clone(&eval)));
        assert_eq!(shown(&eval, Some(&python)), Shown::Frames([].into()));
        let inlined: Arc<[Frame]> = [named("long_add"), named("binary_op1")].concat().into();
        assert_eq!(shown(&inlined, Some(&python)), Shown::Frames(named("long_add")));
        for unnamed in [[Frame::default()].into(), Arc::default()] {
            let Shown::Fold(fold) = shown(&unnamed, Some(&python)) else { panic!("{unnamed:?} is not folded") };
            assert_eq!(
                (fold.function.as_deref(), fold.package.as_deref()),
                (Some("[python3.11]"), Some("/usr/bin/python3.11"))
            );
            assert_eq!(shown(&unnamed, None), Shown::Frames(unnamed));
        }
    }
}
