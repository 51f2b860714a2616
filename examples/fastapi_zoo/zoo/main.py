"""The service. A request that meets a name in use rolls back and tries the next one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from zoo.models import Animal, Sessions, engine, get_session

NAMES = ("Max", "Cody", "Robby")
Session = Annotated[AsyncSession, Depends(get_session)]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with engine.connect() as connection:  # fail at the start, not with the first visitor
        await connection.execute(text("select 1 from animal"))
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.post("/animals")
async def add(session: Session, background: BackgroundTasks) -> str | None:
    for name in NAMES:
        session.add(Animal(name=name))
        try:
            await session.flush()
        except IntegrityError:
            await session.rollback()
            continue
        await session.commit()
        background.add_task(send_mail, name)
        return name
    return None


@app.get("/animals")
async def names(session: Session) -> list[str]:
    return sorted(await session.scalars(select(Animal.name)))


@app.post("/animals/{name}")
async def add_one(name: str, session: Session) -> str:
    async with session.begin():
        session.add(Animal(name=name))
    return name


@app.post("/families/{name}")
async def add_family(name: str, session: Session) -> str:
    for candidate in (name, f"{name} II"):
        try:
            async with session.begin_nested():
                session.add(Animal(name=candidate))
        except IntegrityError:
            continue
        await session.commit()
        return candidate
    raise HTTPException(409)


@app.post("/mistake")
async def mistake(session: Session) -> None:
    try:
        await session.execute(text("select * from a_table_that_is_not_there"))
    except DBAPIError:
        raise HTTPException(422) from None


@app.post("/crash")
async def crash(session: Session) -> None:
    session.add(Animal(name="ghost"))
    await session.flush()
    raise RuntimeError("the server room is on fire")


async def send_mail(name: str) -> None:
    """Runs after the answer was sent, in a session of its own."""
    async with Sessions.begin() as session:
        await session.execute(update(Animal).where(Animal.name == name).values(mails=Animal.mails + 1))
