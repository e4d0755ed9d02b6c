"""The application: its paths, and the layers around them."""

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST

from ferrule import __version__
from ferrule.web.access import Access, Doorkeeper
from ferrule.web.admission import Admission
from ferrule.web.cards import USE, read_card
from ferrule.web.examples import draw_examples
from ferrule.web.following import Follower
from ferrule.web.limits import Limits, RefusalError
from ferrule.web.measures import Recorder
from ferrule.web.replies import add_handlers
from ferrule.web.schemas import About, Faces, Health, PhotoOptions, Photos, Pixels, Problem
from ferrule.web.service import Service, tell_answerer
from ferrule.web.uploads import FIELD, MEDIA_TYPE, read_uploads

if TYPE_CHECKING:
    from ferrule.faces.detector import FaceDetector

PAGE = Path(__file__).with_name("page")

_PROBLEMS = {
    400: "The request is broken.",
    401: "The token is missing or wrong.",
    403: "The request comes from another page.",
    404: "There is none.",
    413: "The request is too large.",
    415: "It is not of a type that is read.",
    422: "It cannot be read.",
    429: "This client asks too often; Retry-After says when to ask again.",
    503: "The server is full; Retry-After says when to ask again.",
}
_ASKING = (400, 401, 403, 413, 415, 422, 429, 503)  # how a prediction may be refused
_UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            MEDIA_TYPE: {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "additionalProperties": False,
                    "properties": {
                        FIELD: {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": Limits.files,
                            "items": {"type": "string", "format": "binary"},
                            "description": "Pictures: JPEG, PNG, WebP, BMP, TIFF, GIF.",
                        }
                    },
                }
            }
        },
    }
}


def create_app(
    follower: Follower,
    *,
    make_detector: "Callable[[], FaceDetector] | None" = None,
    limits: Limits | None = None,
    access: Access | None = None,
    abstain: float | None = None,
) -> FastAPI:
    """Return the application around the model of `follower`.

    `make_detector` opens a detector for a thread; `abstain` is the accuracy to reach where a request does not say.
    """
    limits, access = limits or Limits(), access or Access()
    service = Service(follower, make_detector or _open_detector, limits=limits, abstain=abstain)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            threading.Thread(target=draw_examples, name="examples", daemon=True).start()  # before anybody asks for them
            yield

    app = FastAPI(
        title="Ferrule",
        version=__version__,
        description="What the faces in a picture show: expressions, with calibrated probabilities.",
        lifespan=lifespan,
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    add_handlers(app)
    app.include_router(router)
    app.mount("/page", StaticFiles(directory=PAGE))
    app.add_middleware(Admission, limits=limits, measures=service.measures)
    app.add_middleware(Doorkeeper, access=access, limits=limits)
    app.add_middleware(Recorder, measures=service.measures)
    return app


def _open_detector() -> "FaceDetector":
    from ferrule.faces.detector import MtcnnDetector

    return MtcnnDetector()


def _find_service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


router = APIRouter()
Serving = Annotated[Service, Depends(_find_service)]


def _may_be(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return how a path may refuse, for the OpenAPI."""
    return {status: {"model": Problem, "description": _PROBLEMS[status]} for status in statuses}


@router.post("/predict", openapi_extra=_UPLOAD, responses=_may_be(*_ASKING), summary="Faces in pictures")
async def predict(request: Request, service: Serving, options: Annotated[PhotoOptions, Query()]) -> Photos:
    """Find the faces in one picture or several, and say what each shows."""
    uploads = await read_uploads(request.headers.get("content-type", ""), request.stream(), service.limits)
    return await service.answer_uploads(uploads, options)


@router.post("/predict/pixels", responses=_may_be(*_ASKING), summary="Faces as grey values")
async def predict_pixels(pixels: Pixels, service: Serving) -> Faces:
    """Say what faces of 48×48 grey values show, framed as FER-2013 frames them."""
    return await service.answer_pixels(pixels)


@router.get("/health", summary="Whether it answers")
async def health(service: Serving) -> Health:
    """Say whether the server answers, and with the newest model."""
    follower = service.follower
    return Health(
        status="degraded" if follower.trouble else "ok",
        model=tell_answerer(follower.model),
        since=follower.since.isoformat(timespec="seconds"),
        follows=follower.follows,
        trouble=follower.trouble,
    )


@router.get("/model", responses=_may_be(401, 429), summary="The model")
async def describe_model(service: Serving) -> About:
    """Say which model answers, how good it is, when it says nothing, and what this server takes on."""
    model = service.follower.model
    facts = asdict(model.facts)
    told = {name: facts[name] for name in About.model_fields.keys() & facts.keys()}
    return About(
        **told,
        title=model.title,
        version=model.version,
        precision=model.precision,
        abstain=service.abstain,
        limits=asdict(service.limits),
        use=USE,
    )


@router.get("/model/card", response_class=Response, responses=_may_be(404), summary="The model card")
async def show_card(service: Serving) -> Response:
    """Show the model card, a page by itself."""
    return read_card(service.follower.model)


@router.get("/metrics", response_class=Response, responses=_may_be(401, 429), summary="For Prometheus")
async def tell_metrics(service: Serving) -> Response:
    """Say what was counted."""
    return Response(service.measures.tell(service.follower.model.title), media_type=CONTENT_TYPE_LATEST)


@router.get("/examples", summary="Drawn photos")
def list_examples() -> list[str]:
    """Name the photos to try; their faces are drawn, not taken."""
    return [f"{name}.png" for name in draw_examples()]


@router.get("/examples/{name}.png", response_class=Response, responses=_may_be(404), summary="A drawn photo")
def show_example(name: str) -> Response:
    """Show a drawn photo."""
    picture = draw_examples().get(name)
    if picture is None:
        raise RefusalError(404, "Expected a name that /examples lists; got another; choose one of these.")
    return Response(picture, media_type="image/png", headers={"Cache-Control": "max-age=86400"})


@router.get("/", include_in_schema=False)
async def show_page() -> FileResponse:
    """Show the page."""
    return FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})


@router.get("/favicon.ico", include_in_schema=False)
async def show_icon() -> FileResponse:
    """Show the icon, which browsers ask for under this name."""
    return FileResponse(PAGE / "icon.svg", media_type="image/svg+xml")
