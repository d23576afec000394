"""What Python code says of itself, read and never run: that it has a `main`, and what it imports."""

import ast
import io
import tokenize
import warnings
from collections.abc import Iterator, Sequence

from broker.judging.wire import Import
from schemas.checking import SHOWN, shown
from schemas.limits import LARGEST_CODE
from schemas.uploads import too_long, wrong_code

MOST_IMPORTS = 1_000
LONGEST_MODULE = 256  # characters
CALLED = "main(backend, user_messenger, **inputs)"
_GUARDS = {"ImportError", "ModuleNotFoundError"}
_WIDE_GUARDS = {"Exception", "BaseException", ""}  # around what does nothing but import
_UTF_8 = ("utf-8", "utf-8-sig")


def read_code(code: bytes) -> tuple[Import, ...]:
    """What *code* can not do without, as often as it says so. Raises `WrongFieldsError`."""
    tree = _parsed(_checked(code))
    _check_main(tree)
    found: dict[Import, None] = {}
    for one in _imports(tree):
        found[one] = None
        if len(found) > MOST_IMPORTS:
            text = f"it imports more than {MOST_IMPORTS} things"
            raise wrong_code(f"imports: {MOST_IMPORTS}", "…", text)
    return tuple(found)


def _checked(code: bytes) -> str:
    """*code* as text."""
    if len(code) > LARGEST_CODE:
        raise wrong_code(f"maxBytes: {LARGEST_CODE}", "…", too_long(len(code)))
    if not code.strip():
        raise wrong_code("minBytes: 1", '""', "there is no code")
    if b"\0" in code:
        line = code[: code.index(b"\0")].count(b"\n") + 1
        raise wrong_code("characters", "…", f"line {line} has a NUL, which is no text")
    try:
        text = code.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = code[: error.start].count(b"\n") + 1
        raise wrong_code("encoding: utf-8", "…", f"line {line} is not in UTF-8") from error
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(code).readline)
    except SyntaxError as error:
        raise wrong_code("encoding: utf-8", "…", str(error)) from error
    if encoding not in _UTF_8:
        raise wrong_code("encoding: utf-8", shown(encoding), f"it says that it is in {encoding}")
    return text


def _parsed(text: str) -> ast.Module:
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.parse(text)
    except SyntaxError as error:
        column = f", column {error.offset}" if error.offset else ""
        where = f"line {error.lineno}{column}: " if error.lineno else ""
        line = shown((error.text or "").strip()[:SHOWN])
        raise wrong_code("python", line, f"{where}{error.msg}") from error
    except (RecursionError, MemoryError) as error:
        said = "it is nested too deeply, or takes too much memory to read"
        raise wrong_code("python", "…", said) from error


# Its `main`


def _check_main(tree: ast.Module) -> None:
    found = list(_bound_to_main(tree.body))
    if not found:
        raise wrong_code("main", "…", f"it has no function main; a program is called as {CALLED}")
    last = found[-1]
    if isinstance(last, ast.AsyncFunctionDef):
        raise wrong_code("main", "async def main", "main can not be async")
    if isinstance(last, ast.FunctionDef) and not _takes_two(last.args):
        line = f"line {last.lineno}: main({ast.unparse(last.args)[:SHOWN]})"
        raise wrong_code("main", line, f"{line} can not be called as {CALLED}")


def _takes_two(arguments: ast.arguments) -> bool:
    by_position = len(arguments.posonlyargs) + len(arguments.args)
    return by_position >= 2 or arguments.vararg is not None


def _bound_to_main(body: Sequence[ast.stmt]) -> Iterator[ast.AST]:
    """The statements of a module that give the name `main` to something, or may."""
    stack: list[ast.AST] = list(reversed(body))
    while stack:
        statement = stack.pop()
        if _binds_main(statement):
            yield statement
        if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            for name in ("finalbody", "orelse", "handlers", "body"):
                inner = getattr(statement, name, ())
                stack.extend(reversed([one for one in inner if isinstance(one, _HOLDS)]))


_HOLDS = (ast.stmt, ast.ExceptHandler)


def _binds_main(statement: ast.AST) -> bool:
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return name == "main"
        case ast.ClassDef(name=name):
            return name == "main"
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return any((one.asname or one.name) in ("main", "*") for one in names)
        case ast.Assign(targets=targets):
            return any(isinstance(one, ast.Name) and one.id == "main" for one in targets)
        case ast.AnnAssign(target=ast.Name(id="main"), value=value):
            return value is not None
        case _:
            return False


# What it imports


def _imports(tree: ast.Module) -> Iterator[Import]:
    """All imports but those that the code can do without: it catches that they fail."""
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        match node:
            case ast.Import(names=names):
                yield from (Import(_short(one.name), node.lineno) for one in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                home = _short("." * level + (module or ""))
                yield from (Import(home, node.lineno, _short(one.name)) for one in names)
            case _:
                pass
        stack.extend(reversed(list(_needed(node))))


def _short(name: str) -> str:
    return name[:LONGEST_MODULE]


def _needed(node: ast.AST) -> Iterator[ast.AST]:
    """What is inside *node*, without what may fail to be imported and what is for type checkers."""
    if isinstance(node, ast.Try) and _is_guarded(node):
        yield from node.finalbody
    elif isinstance(node, ast.If) and _last_name(node.test) == "TYPE_CHECKING":
        yield from node.orelse
    elif not (isinstance(node, ast.With) and any(map(_suppresses, node.items))):
        yield from ast.iter_child_nodes(node)


def _is_guarded(block: ast.Try) -> bool:
    caught = {name for handler in block.handlers for name in _caught(handler)}
    imports_alone = all(isinstance(one, _SLIGHT) for one in block.body)
    return bool(caught & (_GUARDS | _WIDE_GUARDS if imports_alone else _GUARDS))


_SLIGHT = (ast.Import, ast.ImportFrom, ast.Assign, ast.Pass)


def _caught(handler: ast.ExceptHandler) -> Iterator[str]:
    """The names of what *handler* catches; an empty one for everything."""
    match handler.type:
        case None:
            yield ""
        case ast.Tuple(elts=kinds):
            yield from map(_last_name, kinds)
        case kind:
            yield _last_name(kind)


def _suppresses(item: ast.withitem) -> bool:
    match item.context_expr:
        case ast.Call(func=func, args=args) if _last_name(func) == "suppress":
            return any(_last_name(kind) in _GUARDS for kind in args)
        case _:
            return False


def _last_name(expression: ast.expr) -> str:
    match expression:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return "?"
